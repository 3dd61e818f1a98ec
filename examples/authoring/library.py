"""Reader survey of a city library that does not exist."""

from __future__ import annotations

from pathlib import Path

from reportlab.lib import colors
from reportlab.platypus import Flowable, PageBreak

from authoring.style import Look, gap, write

LOOK = Look(accent=colors.HexColor(0x6A2C4F), body="Times-Roman", bold="Times-Bold", size=11.5)
TITLE = "Tessmark City Library - Reader Survey 2024"


def author(folder: Path) -> Path:
    """Write the survey into ``folder`` and say where it is."""
    path = folder / "library-survey.pdf"
    write(path, TITLE, LOOK, [*_method(), *_reasons(), *_branches(), *_voices()])
    return path


def _method() -> list[Flowable]:
    return [
        LOOK.title("What readers want"),
        LOOK.text("Reader Survey 2024 of the Tessmark City Library and its five branches"),
        LOOK.heading("In short"),
        LOOK.steps(
            [
                "Readers give the library 8.3 out of 10 points, 0.4 more than in the survey of 2021.",
                "Longer opening hours on Sundays are the most frequent wish, named by 44 per cent.",
                "Noise is the most frequent complaint, above all in the Riverside branch after school.",
                "One reader in five has borrowed something that is not a book: tools, games, seeds or a sewing machine.",
            ],
            numbered=False,
        ),
        LOOK.heading("How we asked"),
        LOOK.text(
            "Questionnaires lay at every desk from 4 to 30 March and could be filled in on paper or on the web. They "
            "were offered in six languages. We received 3,172 answers, of which 2,946 were complete. Answers were "
            "weighted by age and branch, so that they stand for all 38,500 holders of a card. The margin of error is "
            "1.8 percentage points for the whole city and about 5 for a single branch."
        ),
        LOOK.caption("Table 1. Who answered"),
        LOOK.table(
            [
                ["Age", "Answers", "Share of answers", "Share of card holders"],
                ["under 16", "402", "13.6 %", "21.0 %"],
                ["16 to 29", "531", "18.0 %", "19.2 %"],
                ["30 to 49", "884", "30.0 %", "28.4 %"],
                ["50 to 69", "721", "24.5 %", "20.1 %"],
                ["70 and older", "408", "13.9 %", "11.3 %"],
            ],
            [110, 90, 115, 135],
            numbers=3,
        ),
        LOOK.text(
            "Children under ten were interviewed by our reading mentors with the help of picture cards. Their answers "
            "are reported apart, in the booklet that comes out in September."
        ),
        PageBreak(),
    ]


def _reasons() -> list[Flowable]:
    return [
        LOOK.heading("Why people come"),
        LOOK.text(
            "Borrowing and bringing back is still the first reason for a visit, but only just above a third of readers "
            "name it first. Nearly a quarter come mainly for a quiet place to learn or to work. Among those between 16 and "
            "29 the quiet place leads with 51 per cent."
        ),
        LOOK.caption("Figure 1. Main reason for the last visit"),
        LOOK.pie(
            [
                ("Borrowing and returning", 36),
                ("A quiet place to learn or work", 24),
                ("Events and courses", 15),
                ("Newspapers and magazines", 11),
                ("Computers and printing", 9),
                ("Meeting friends", 5),
            ]
        ),
        gap(8),
        LOOK.heading("What people borrow"),
        LOOK.text(
            "Each card holder borrowed 17.2 items on average. Printed books make up 64 per cent of loans, electronic books "
            "19 per cent, and the library of things, started in 2022 with a gift of 300 tools, already 3 per cent. The item "
            "lent most often was not a novel but the pressure washer of the Millgate branch, which was out on 287 days."
        ),
        LOOK.caption("Table 2. Loans by kind, in thousands"),
        LOOK.table(
            [
                ["Kind", "2021", "2024"],
                ["Printed books", "455", "424"],
                ["Electronic books", "88", "126"],
                ["Films and music", "97", "61"],
                ["Games", "19", "31"],
                ["Library of things", "0", "20"],
            ],
            [220, 110, 110],
            numbers=2,
        ),
        LOOK.text(
            "Reservations are picked up after 3.1 days on average. Of all reserved items, 7 per cent are never picked up, "
            "which costs the staff about nine hours a week."
        ),
        PageBreak(),
    ]


def _branches() -> list[Flowable]:
    return [
        LOOK.heading("How satisfied readers are"),
        LOOK.text(
            "We asked for marks from 0 to 10. Millgate, rebuilt two years ago, leads with 9.0 points. Riverside is last with "
            "7.1 and the only branch that lost ground since 2021."
        ),
        LOOK.caption("Figure 2. Satisfaction by branch, points out of 10"),
        LOOK.bars(
            ["Central", "Millgate", "Northfield", "Riverside", "Abbey Hill"],
            [8.4, 9.0, 8.1, 7.1, 8.6],
            10,
            2,
            unit="points",
        ),
        gap(6),
        LOOK.caption("Table 3. Satisfaction by subject, points out of 10"),
        LOOK.table(
            [
                ["Subject", "2021", "2024", "Change"],
                ["Friendliness of the staff", "9.0", "9.2", "+0.2"],
                ["Choice of books", "8.1", "8.3", "+0.2"],
                ["Children's corner", "7.7", "8.6", "+0.9"],
                ["Opening hours", "6.4", "6.5", "+0.1"],
                ["Quiet", "7.2", "6.6", "-0.6"],
                ["Computers and wireless network", "6.0", "7.9", "+1.9"],
                ["Toilets", "5.8", "6.1", "+0.3"],
            ],
            [200, 80, 80, 80],
            numbers=3,
        ),
        LOOK.text(
            "The largest gain, 1.9 points, is for computers and the wireless network, renewed in the winter of 2023. Quiet "
            "is the only subject that fell. Readers who come after three in the afternoon give it 5.4 points, readers "
            "who come in the morning 8.0."
        ),
        LOOK.text(
            "Satisfaction does not differ between women and men. It rises with age: readers of 70 and older give 8.9 points, "
            "those under 30 give 7.8."
        ),
        PageBreak(),
    ]


def _voices() -> list[Flowable]:
    return [
        LOOK.heading("In readers' own words"),
        LOOK.text("We received 1,208 free comments. A few of them, printed with their writers' consent:"),
        LOOK.steps(
            [
                "\u201cThe heated bench by the east window got me through my exams.\u201d (student, Central)",
                "\u201cPlease let the returns box swallow large picture books. Mine always stick.\u201d (mother of two, Abbey Hill)",
                "\u201cThe lady at the desk found my grandfather's ship in an old harbour list within ten minutes.\u201d (reader, 61, Northfield)",
                "\u201cAt four o'clock Riverside is a playground. I like children, but I cannot read there.\u201d (reader, 74)",
            ],
            numbered=False,
        ),
        LOOK.heading("What we will do"),
        LOOK.table(
            [
                ["Measure", "Where", "From", "Cost a year"],
                ["Open on Sundays from 11 to 17", "Central", "October 2024", "84,000"],
                ["Glass wall and carpets for a quiet room", "Riverside", "January 2025", "31,500 once"],
                ["Homework club with two mentors, 15 to 17", "Riverside", "September 2024", "22,000"],
                ["Wider returns box", "Abbey Hill", "August 2024", "4,200 once"],
                ["Reminder by text message before a loan ends", "all branches", "June 2024", "6,000"],
            ],
            [190, 80, 95, 85],
        ),
        LOOK.text(
            "The money for Sundays comes from the city's culture fund for three years. After that the council will "
            "decide on the ground of visitor counts: at least 400 visitors each Sunday are expected."
        ),
        LOOK.heading("What we will not do"),
        LOOK.text(
            "Late fees stay abolished, although 12 per cent of readers would like them back. Since they went in 2022, the "
            "share of items that come back late has risen only from 8 to 9 per cent, while 1,900 readers with old debts "
            "have returned."
        ),
        LOOK.note(
            "The next survey is planned for March 2027. Questions about this one: ask for Odile Brandmoor at the Central desk."
        ),
    ]
