"""Lab notebook of a coffee roastery that does not exist, set in two columns."""

from __future__ import annotations

from pathlib import Path

from reportlab.lib import colors
from reportlab.platypus import Flowable

from authoring.style import Look, write

LOOK = Look(accent=colors.HexColor(0x5B3A1E), body="Times-Roman", bold="Times-Bold", size=10)
TITLE = "Quill Lane Roastery - Lab notebook no. 14, autumn"


def author(folder: Path) -> Path:
    """Write the notebook into ``folder`` and say where it is."""
    path = folder / "coffee-roasting-notebook.pdf"
    write(path, TITLE, LOOK, [*_setup(), *_washed(), *_natural(), *_decaf(), *_blend(), *_storage()], columns=2)
    return path


def _setup() -> list[Flowable]:
    return [
        LOOK.title("Lab notebook 14"),
        LOOK.text("Kept by Maren Oduya and Felix Straub. All temperatures are bean temperatures in degrees Celsius."),
        LOOK.heading("The roaster"),
        LOOK.text(
            "We use the small drum roaster, called Bertha, with a drum of 6 kilograms. We never load more than 4.5 "
            "kilograms, since fuller batches roast unevenly. The new probe sits two centimetres deeper in the beans "
            "than the old one and reads about 4 degrees lower at first crack; curves of notebook 13 and before must not "
            "be laid over the new ones."
        ),
        LOOK.text(
            "Before the first batch of a day Bertha is heated for 35 minutes. Between batches we wait until the drum has "
            "fallen to 185 degrees. Batch one of a day is never used for the cupping table."
        ),
        LOOK.heading("How we cup"),
        LOOK.text(
            "Twelve grams to 200 millilitres of water at 94 degrees, four minutes, then break the crust with three "
            "strokes. We taste at 10, 20 and 35 minutes. Each of us writes down marks alone before anybody speaks. "
            "Marks run from 0 to 100; a coffee for the shop needs 84."
        ),
        LOOK.heading("Water"),
        LOOK.text(
            "Tap water here has 19 degrees of German hardness, which flattens every sour note. We mix one part of it with "
            "three parts from the osmosis tank and check with drops: 5 degrees is the aim."
        ),
        LOOK.heading("Abbreviations"),
        LOOK.table(
            [
                ["Sign", "Meaning"],
                ["CH", "charge: beans go in"],
                ["TP", "turning point"],
                ["YL", "yellow, smell of hay to bread"],
                ["FC", "first crack begins"],
                ["DR", "drop: beans go out"],
                ["DTR", "share of time after FC"],
            ],
            [50, 175],
        ),
    ]


def _washed() -> list[Flowable]:
    return [
        LOOK.heading("Roasts 201 to 206: washed, Serra do Lobo"),
        LOOK.text(
            "A washed lot of 60 kilograms, harvested in May at 1,450 metres, moisture 10.8 per cent, density 712 grams a "
            "litre. Hard beans that take heat well. We look for a filter roast with lime and cane sugar."
        ),
        LOOK.table(
            [
                ["Roast", "CH", "FC at", "DR at", "Time", "Marks"],
                ["201", "195", "196", "208", "9:50", "83.5"],
                ["202", "205", "196", "207", "9:05", "85.0"],
                ["203", "210", "197", "206", "8:35", "86.5"],
                ["204", "215", "197", "206", "8:10", "84.0"],
                ["205", "210", "197", "204", "8:15", "82.0"],
                ["206", "210", "197", "206", "8:40", "86.0"],
            ],
            [40, 34, 38, 38, 38, 38],
            numbers=5,
        ),
        LOOK.text(
            "Roast 203 is the best of the series: charge at 210, drop at 206, DTR 15 per cent. Roast 205, dropped two "
            "degrees earlier, tasted of grass and peanut shell. At a charge of 215 (roast 204) the tips of the beans were "
            "scorched. 206 repeats 203 and confirms it."
        ),
        LOOK.caption("Roast 203, bean temperature"),
        LOOK.lines(
            ["0", "1", "2", "3", "4", "5", "6", "7", "8"],
            [210, 98, 112, 132, 150, 166, 181, 194, 204],
            80,
            220,
            20,
            unit="degrees C by minute",
            wide=228,
        ),
        LOOK.note("Rule from this series: hard washed beans like a hot start and a short finish."),
    ]


def _natural() -> list[Flowable]:
    return [
        LOOK.heading("Roasts 207 to 211: natural, Wadi Harun"),
        LOOK.text(
            "Dried in the whole cherry on raised beds for 26 days. Soft beans, uneven in colour, many with silver skin. "
            "Charge lower than for the washed lot, otherwise the sugar on the outside burns before the inside is done."
        ),
        LOOK.table(
            [
                ["Roast", "CH", "DR at", "Time", "Marks"],
                ["207", "200", "205", "9:10", "81.0"],
                ["208", "190", "205", "9:55", "85.5"],
                ["209", "180", "205", "10:40", "87.0"],
                ["210", "180", "209", "11:20", "84.5"],
                ["211", "170", "205", "12:05", "83.0"],
            ],
            [46, 42, 46, 46, 46],
            numbers=4,
        ),
        LOOK.text(
            "Roast 209 smells of strawberry jam and cardamom. In 211 the fruit was baked away: flat, like stewed "
            "prunes. The gas went down to 30 per cent at yellow in all five."
        ),
        LOOK.text(
            "Accident: in roast 210 the chaff collector caught fire at 10:52 because it had not been emptied after roast "
            "206. Felix closed the damper, kept the drum turning and cut the gas. No damage. From now on the collector is "
            "emptied after every third batch, and a second metal bucket stands beside it."
        ),
    ]


def _decaf() -> list[Flowable]:
    return [
        LOOK.heading("Roasts 212 to 215: decaffeinated"),
        LOOK.text(
            "Decaffeinated with sugar-cane spirit. The green beans are already brown, so colour tells nothing; smell and "
            "time must guide. First crack is so quiet that we heard it only with the ear trumpet Maren made from a "
            "funnel and a garden hose."
        ),
        LOOK.text(
            "First crack comes at 191, five to six degrees earlier than with ordinary beans. Weight loss: 13.1 per cent "
            "at a drop of 201 (roast 213, 84.5 marks) and 16.8 per cent at a drop of 210 (roast 215, 79 marks, ash and "
            "rubber)."
        ),
        LOOK.steps(
            [
                "Charge at 185 with the gas at 60 per cent.",
                "Gas to 35 per cent at minute 5.",
                "Air flow fully open from 185 degrees.",
                "Drop at 201, or 75 seconds after the first crack.",
            ]
        ),
    ]


def _blend() -> list[Flowable]:
    return [
        LOOK.heading("The winter blend"),
        LOOK.text(
            "Aim: an espresso with milk in mind, no more than 19 crowns a bag in green coffee. Five mixtures were pulled "
            "at 18.5 grams in, 40 grams out, 29 seconds."
        ),
        LOOK.table(
            [
                ["Mix", "Serra", "Wadi", "Robusta", "Verdict"],
                ["A", "70", "30", "0", "too sour with milk"],
                ["B", "50", "50", "0", "jam, thin body"],
                ["C", "60", "25", "15", "chosen"],
                ["D", "50", "25", "25", "woody"],
                ["E", "80", "0", "20", "dull"],
            ],
            [30, 38, 38, 46, 74],
        ),
        LOOK.text(
            "Mix C wins with four of five votes: 60 parts Serra do Lobo, 25 Wadi Harun, 15 washed robusta from Tana "
            "Hills. Hazelnut, dried cherry, a thick crema that lasts over three minutes. The parts are roasted apart and "
            "blended after resting, as the robusta needs 214 degrees."
        ),
        LOOK.text(
            "Name on the bag: Lantern. On sale from 12 November. Grind for the shop's machine: 2.4 on the dial, one "
            "notch finer when the bag is older than three weeks."
        ),
    ]


def _storage() -> list[Flowable]:
    return [
        LOOK.heading("Resting and storage trial"),
        LOOK.text(
            "Roast 203 was kept in four ways and cupped each week by three people who did not know which was which. Bags "
            "with a valve lost least; the open jar was stale after nine days. Frozen beans, taken out and ground at "
            "once, were as good after eight weeks as after one."
        ),
        LOOK.table(
            [
                ["Kept in", "Week 1", "Week 4", "Week 8"],
                ["Bag with valve", "86.5", "85.0", "82.5"],
                ["Tin, often opened", "86.0", "82.0", "78.5"],
                ["Open jar", "84.0", "76.5", "71.0"],
                ["Freezer, sealed", "86.5", "86.5", "86.0"],
            ],
            [100, 42, 42, 42],
            numbers=3,
        ),
        LOOK.text(
            "Filter roasts taste best from day 6 to day 24, espresso roasts from day 10 to day 35. We therefore print the "
            "roast date on the bag and not only a best-before date."
        ),
        LOOK.heading("To do before notebook 15"),
        LOOK.steps(
            [
                "Order a second probe for the exhaust air.",
                "Ask the importer for 40 more kilograms of Wadi Harun before the price rises in January.",
                "Have the scales calibrated: they showed 4.02 kilograms for the 4 kilogram weight.",
                "Repeat roast 209 with a drum speed of 48 instead of 54 turns a minute.",
            ],
            numbered=False,
        ),
    ]
