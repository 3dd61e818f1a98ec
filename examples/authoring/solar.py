"""Maintenance manual of a solar park that does not exist."""

from __future__ import annotations

from pathlib import Path

from reportlab.lib import colors
from reportlab.platypus import Flowable, PageBreak

from authoring.style import Look, gap, write

LOOK = Look(accent=colors.HexColor(0x8A5A00))
TITLE = "Brackenmoor Solar Park - Maintenance Manual, revision 7"


def author(folder: Path) -> Path:
    """Write the manual into ``folder`` and say where it is."""
    path = folder / "solar-park-manual.pdf"
    write(path, TITLE, LOOK, [*_plant(), *_schedule(), *_faults(), *_cleaning(), *_isolation()])
    return path


def _plant() -> list[Flowable]:
    return [
        LOOK.title("Maintenance Manual"),
        LOOK.text("Brackenmoor Solar Park, revision 7. Keep one printed copy in the control hut."),
        LOOK.heading("1 The plant"),
        LOOK.text(
            "The park stands on 31 hectares of former grazing land north of the village of Brackenmoor. Its rated "
            "power is 18.4 megawatts. The modules face south at a fixed tilt of 22 degrees, in rows 7.5 metres "
            "apart, so that sheep and a mower of two metres' width can pass between them."
        ),
        LOOK.table(
            [
                ["Part", "Count", "Remark"],
                ["Modules, 460 W", "40,000", "half-cut cells, 2 bypass diodes each in parallel halves"],
                ["Strings of 25 modules", "1,600", "numbered F01-S01 to F08-S200"],
                ["String inverters, 100 kW", "160", "20 in each of the fields F01 to F08"],
                ["Transformers, 2.5 MVA", "8", "one a field, 0.8 to 33 kV"],
                ["Weather masts", "2", "at F02 and F07, with irradiance and wind sensors"],
                ["Perimeter cameras", "24", "recorded for 72 hours"],
            ],
            [150, 65, 230],
        ),
        LOOK.heading("2 Who may do what"),
        LOOK.text(
            "Visual checks and cleaning may be done by anybody who has had the half-day induction. Opening a "
            "combiner box, an inverter or a transformer hut is kept for authorised electrical staff, who always "
            "work in pairs. The duty engineer gives out the keys and writes every loan into the key book."
        ),
        LOOK.note(
            "Modules make voltage whenever there is light. A string in the sun stands at up to 1,130 volts even when "
            "its inverter is off. Switching off does not make a string safe."
        ),
        LOOK.heading("3 Expected yield"),
        LOOK.text(
            "Over a whole year the park is expected to deliver 17,900 megawatt hours. June brings the most, "
            "December about a ninth of that. A field that falls more than 6 per cent below its neighbours on a "
            "clear day must be looked at within a week."
        ),
        PageBreak(),
    ]


def _schedule() -> list[Flowable]:
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    yields = (430, 760, 1420, 1980, 2420, 2560, 2490, 2140, 1610, 1090, 710, 290)
    return [
        LOOK.heading("4 Inspection schedule"),
        LOOK.table(
            [
                ["Task", "How often", "By whom", "Form"],
                ["Walk along the fence, check gates and locks", "weekly", "caretaker", "B-1"],
                ["Compare inverter yields in the portal", "weekly", "duty engineer", "B-2"],
                ["Look for broken glass, loose clamps, hanging cables", "every 3 months", "caretaker", "B-3"],
                ["Mow below the lower module edges", "May, July, September", "contractor", "B-4"],
                ["Clean inverter air filters", "every 6 months", "electrical staff", "B-5"],
                ["Thermal camera flight over all fields", "yearly, in May or June", "contractor", "B-6"],
                ["Measure insulation of every string", "every 2 years", "electrical staff", "B-7"],
                ["Retighten module clamps to 16 newton metres", "every 2 years", "contractor", "B-8"],
                ["Take oil samples from the transformers", "every 4 years", "specialist firm", "B-9"],
            ],
            [205, 100, 95, 45],
        ),
        LOOK.text(
            "Forms are handed in at the control hut on the day of the work. A task that is more than 30 days "
            "overdue is reported to the owner by the duty engineer."
        ),
        LOOK.caption("Expected yield by month, megawatt hours"),
        LOOK.bars(months, yields, 3000, 500, unit="MWh"),
        gap(4),
        LOOK.heading("5 Thermal camera flight"),
        LOOK.text(
            "Fly only when irradiance is above 600 watts a square metre and wind below 8 metres a second. A cell that "
            "is more than 20 kelvin warmer than its neighbours is a hot spot: note string and module, and replace the "
            "module within three months. A whole warm half points to a bypass diode."
        ),
        PageBreak(),
    ]


def _faults() -> list[Flowable]:
    return [
        LOOK.heading("6 Inverter fault codes"),
        LOOK.text(
            "The inverter shows a code on its display and sends it to the portal. Read the code before you reset "
            "anything: the memory keeps only the last twelve."
        ),
        LOOK.table(
            [
                ["Code", "Meaning", "What to do"],
                [
                    "E-03",
                    "Grid voltage out of range",
                    "Wait 10 minutes; if it stays, call the network operator.",
                ],
                [
                    "E-07",
                    "Insulation resistance too low",
                    (
                        "Do not touch the rows. Isolate string by string until the "
                        "code clears; most often a cable chewed by martens or water in a connector."
                    ),
                ],
                [
                    "E-12",
                    "Fan stands still",
                    "Free the fan of grass and nests; replace it after 40,000 hours.",
                ],
                [
                    "E-15",
                    "Inside temperature above 75 degrees",
                    (
                        "Clean the air filter, check that the sun shield is "
                        "in place. Power is cut to 60 per cent meanwhile."
                    ),
                ],
                [
                    "E-21",
                    "Arc detected on a string",
                    (
                        "Leave the inverter off. Find the string with the clamp meter "
                        "and renew both connectors. A reset needs the engineer's code."
                    ),
                ],
                [
                    "E-28",
                    "No contact with the data logger",
                    (
                        "Check the orange patch cable in the field cabinet, then "
                        "restart the logger. Yield is not lost: it is kept for 14 days."
                    ),
                ],
                ["E-33", "Surge arrester spent", "Change the red cartridge, type SPD-2, within 5 days."],
            ],
            [45, 140, 260],
        ),
        LOOK.heading("7 Replacing a fan"),
        LOOK.steps(
            [
                "Switch the inverter off and turn the load switch to OFF. Wait 15 minutes for its capacitors.",
                "Loosen the four screws of the lower cover with a 5 mm hexagon key.",
                "Pull the plug of the fan, not its cable. Slide the fan out to the left.",
                "Slide the new fan in until it clicks. Fit the cover; tighten crosswise to 3 newton metres.",
                "Switch on. The fan runs for ten seconds as a test. Write the hours into form B-5.",
            ]
        ),
        PageBreak(),
    ]


def _cleaning() -> list[Flowable]:
    return [
        LOOK.heading("8 Cleaning the modules"),
        LOOK.text(
            "Rain does most of the work. Clean only when the soiling sensor at mast F02 shows a loss of more than 4 "
            "per cent, usually once a year after the hay harvest."
        ),
        LOOK.steps(
            [
                "Work early, before nine o'clock, while the glass is cool. Cold water on hot glass can crack it.",
                "Use demineralised water only, at no more than 35 bar, and the soft brush with the telescopic pole.",
                "Never walk on modules, never lean a ladder on a frame.",
                "Use no soap. For bird droppings use a wet sponge; for lichen call the duty engineer.",
                "Start at the upper edge and rinse downwards. One litre a module is enough.",
            ]
        ),
        LOOK.note("In frost, in thunder, and in wind above 10 metres a second, do not clean."),
        LOOK.heading("9 Grass, sheep and birds"),
        LOOK.text(
            "A flock of 120 sheep grazes the park from April to October. Gates between fields stay closed. Before mowing "
            "in May, walk the rows and mark nests of ground-breeding larks with yellow canes; leave a circle of "
            "5 metres around each unmown until the end of July."
        ),
        LOOK.heading("10 Spare parts in the control hut"),
        LOOK.table(
            [
                ["Part", "Order number", "Minimum stock", "Shelf"],
                ["Module, 460 W", "BM-4600", "60", "container 2"],
                ["Inverter fan", "BM-1207", "8", "A3"],
                ["Surge cartridge SPD-2, red", "BM-3302", "30", "A4"],
                ["Connector pair, 6 square mm", "BM-2110", "200", "B1"],
                ["Fuse, 20 A, 1,500 V", "BM-2020", "100", "B2"],
                ["Air filter mat", "BM-1215", "160", "C1"],
            ],
            [170, 100, 95, 80],
        ),
        LOOK.text("Count the stock on the first Monday of each quarter. Orders go to the depot at Wexley Cross."),
        PageBreak(),
    ]


def _isolation() -> list[Flowable]:
    return [
        LOOK.heading("11 Isolating a string"),
        LOOK.text("For authorised electrical staff in pairs. Wear gloves of class 0 and a face shield."),
        LOOK.steps(
            [
                "Tell the duty engineer which string you are going to isolate and hang the red tag on the inverter.",
                "Switch off the inverter at its display and wait until the power reads zero.",
                "Turn the load switch below the inverter to OFF and lock it with your own padlock.",
                (
                    "Measure the current of the string with the clamp meter. Only when it is below 0.2 amperes, open the "
                    "connectors, plus first."
                ),
                "Cap both connector ends. Check for voltage against earth at each pole.",
                "Note time and string number in form C-1. The padlock comes off only by the hand that put it on.",
            ]
        ),
        LOOK.heading("12 Fire"),
        LOOK.text(
            "Leave the rows towards the wind. Call the fire brigade, then the duty engineer, and meet the engines at "
            "gate 2, where the site plan hangs in the red box. Water may be used on burning grass from at least 5 "
            "metres with a spray jet, and 10 metres with a full jet. Nobody enters a transformer hut that smokes."
        ),
        LOOK.heading("13 Storm and snow"),
        LOOK.text(
            "After gusts above 25 metres a second, walk all fields within two days and look for bent posts and lifted "
            "clamps, first at the outer rows of F01 and F08. Snow is left to slide; the load that the frames bear is 2.4 "
            "kilonewtons a square metre, about 80 centimetres of fresh wet snow."
        ),
        LOOK.heading("14 Who to call"),
        LOOK.table(
            [
                ["Role", "Name", "Extension"],
                ["Duty engineer, day and night", "by rota", "401"],
                ["Head of maintenance", "Ines Falkbourne", "410"],
                ["Caretaker", "Tom Ardery", "415"],
                ["Shepherd", "Wilma Coates", "422"],
            ],
            [210, 150, 85],
        ),
    ]
