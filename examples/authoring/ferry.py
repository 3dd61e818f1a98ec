"""Annual report of a ferry company that does not exist."""

from __future__ import annotations

from pathlib import Path

from reportlab.lib import colors
from reportlab.platypus import Flowable, PageBreak

from authoring.style import Look, gap, write

LOOK = Look(accent=colors.HexColor(0x1D4E74))
TITLE = "Halvmoy Ferries - Annual Report 2022"

#: Year, total revenue and profit after tax in million crowns, passengers in thousands.
YEARS = (
    ("2017", 41.2, 3.1, 1204),
    ("2018", 44.9, 3.8, 1267),
    ("2019", 48.6, 4.4, 1342),
    ("2020", 22.7, -6.9, 548),
    ("2021", 31.5, -1.2, 803),
    ("2022", 52.3, 5.7, 1418),
)


def author(folder: Path) -> Path:
    """Write the report into ``folder`` and say where it is."""
    path = folder / "ferry-annual-report.pdf"
    write(path, TITLE, LOOK, [*_letter(), *_revenue(), *_fleet(), *_routes(), *_environment()])
    return path


def _letter() -> list[Flowable]:
    return [
        LOOK.title("Halvmoy Ferries"),
        LOOK.heading("Annual Report 2022"),
        LOOK.text("A letter from the managing director"),
        LOOK.text(
            "For ninety-one years our boats have tied the seven inhabited islands of the Halvmoy sound to the "
            "mainland at Kesterbru. The past year was the busiest in that long history. People who had stayed "
            "at home came back, schools resumed their island weeks, and the new timetable let commuters from "
            "Ytre Sand reach the early train for the first time."
        ),
        LOOK.text(
            "We carried 1,418,000 passengers, five in a hundred more than in our best year before. We also "
            "learnt how thin our margins for bad weather have become: in November alone 63 departures were "
            "cancelled because of wind, and the people of Lille Grip were cut off for four days. The board has "
            "therefore brought forward the order of a vessel with a deeper hull."
        ),
        LOOK.text(
            "To the 212 colleagues on deck, below deck and ashore: thank you. Nobody who stood on the quay at "
            "Kesterbru on the evening of the storm will forget how calmly you brought the last boat in."
        ),
        LOOK.text("Ragna Tveiten, managing director"),
        LOOK.heading("The year at a glance"),
        LOOK.table(
            [
                ["Key figure", "2021", "2022"],
                ["Passengers", "803,000", "1,418,000"],
                ["Vehicles carried", "97,400", "151,900"],
                ["Departures as planned", "97.1 %", "95.8 %"],
                ["Employees at the end of the year", "187", "212"],
                ["Complaints received", "418", "361"],
            ],
            [230, 105, 105],
            numbers=2,
        ),
        LOOK.note(
            "The annual general meeting takes place on 14 April 2023 at ten o'clock in the old sail loft at "
            "Kesterbru. Shareholders who come by boat travel free of charge that day."
        ),
        PageBreak(),
    ]


def _revenue() -> list[Flowable]:
    rows = [["Year", "Total revenue", "Profit after tax", "Passengers (thousands)"]]
    rows += [[year, f"{revenue:.1f}", f"{profit:.1f}", f"{people:,}"] for year, revenue, profit, people in YEARS]
    return [
        LOOK.heading("Revenue and result"),
        LOOK.text(
            "Total revenue rose by two thirds to 52.3 million crowns and for the first time exceeded the level of "
            "2019, when the company took 48.6 million crowns. Fares made up 61 per cent of revenue, the county's "
            "contract for lifeline routes 27 per cent, freight 8 per cent, and the cafeterias on board the "
            "remaining 4 per cent."
        ),
        LOOK.caption("Table 1. Six years in figures, amounts in million crowns"),
        LOOK.table(rows, [80, 110, 110, 140], numbers=3),
        LOOK.caption("Figure 1. Total revenue by year"),
        LOOK.bars([y for y, *_ in YEARS], [r for _, r, *_ in YEARS], 60, 10, unit="million crowns"),
        gap(6),
        LOOK.heading("Costs"),
        LOOK.text(
            "Fuel was the largest single rise: 9.8 million crowns after 5.6 million the year before. Wages came to "
            "21.4 million crowns. Repairs of the Storegrip's bow door, damaged in the January ice, cost 1.3 "
            "million, of which the insurers bore 0.9 million."
        ),
        LOOK.heading("Dividend"),
        LOOK.text(
            "After two years without one, the board proposes a dividend of 2.40 crowns a share. The rest of the "
            "profit goes into the fund for new vessels, which then stands at 18 million crowns."
        ),
        PageBreak(),
    ]


def _fleet() -> list[Flowable]:
    return [
        LOOK.heading("The fleet"),
        LOOK.text(
            "Six vessels were in service at the end of the year. Their average age is 23 years. The Ternen was sold "
            "in May to a museum harbour, where she will be moored as a floating classroom."
        ),
        LOOK.caption("Table 2. Vessels in service on 31 December 2022"),
        LOOK.table(
            [
                ["Vessel", "Built", "Passengers", "Cars", "Propulsion", "Home quay"],
                ["Storegrip", "1994", "299", "42", "Diesel, 2 x 1,100 kW", "Kesterbru"],
                ["Lomvi", "1988", "180", "24", "Diesel, 2 x 640 kW", "Ytre Sand"],
                ["Havsule", "2003", "250", "36", "Diesel, 2 x 900 kW", "Kesterbru"],
                ["Alke", "1997", "98", "none", "Water jet, 2 x 810 kW", "Lille Grip"],
                ["Teist", "2011", "147", "12", "Diesel-electric, 1,000 kW", "Orholm"],
                ["Krykkje", "2021", "130", "10", "Battery, 1,040 kWh", "Orholm"],
            ],
            [72, 45, 68, 48, 140, 72],
        ),
        LOOK.heading("A year with the Krykkje"),
        LOOK.text(
            "Our first battery vessel finished her first full year on the crossing between Orholm and Kesterbru. "
            "She charges for eleven minutes at each call through an arm that finds its socket by itself. In cold "
            "weeks the range fell by 17 per cent, so the 21:40 departure was moved to the Teist from December to "
            "February."
        ),
        LOOK.heading("The new order"),
        LOOK.text(
            "In October the board ordered hull number 118 from the yard at Vestre Molde Slip. She will carry 320 "
            "passengers and 50 cars, draw 3.6 metres instead of 2.9, and enter service in spring 2025. The price is "
            "164 million crowns. The islands' schoolchildren will choose her name."
        ),
        LOOK.heading("Dry dock"),
        LOOK.text(
            "Storegrip and Lomvi were docked for their five-yearly survey. The Lomvi's docking took 38 days "
            "instead of the 21 planned, as the stern tube had to be replaced; a chartered catamaran stood in."
        ),
        PageBreak(),
    ]


def _routes() -> list[Flowable]:
    names = ("Orholm", "Ytre Sand", "Storoy", "Lille Grip", "Fugla")
    return [
        LOOK.heading("Routes and passengers"),
        LOOK.text(
            "The crossing from Kesterbru to Orholm remains the busiest route with 574,000 passengers. The summer "
            "line to Fugla, opened again after eleven years, was used by 46,000 people between June and August, "
            "most of them bird watchers and day walkers."
        ),
        LOOK.caption("Figure 2. Passengers by route in 2022"),
        LOOK.bars(names, [574, 401, 268, 129, 46], 700, 100, unit="thousand passengers"),
        gap(6),
        LOOK.caption("Table 3. Single fares from Kesterbru, in crowns, from 1 March 2023"),
        LOOK.table(
            [
                ["To", "Adult", "Child", "Bicycle", "Car with driver"],
                ["Orholm", "46", "23", "free", "148"],
                ["Ytre Sand", "62", "31", "free", "186"],
                ["Storoy", "62", "31", "free", "186"],
                ["Lille Grip", "88", "44", "20", "not carried"],
                ["Fugla (summer only)", "120", "60", "20", "not carried"],
            ],
            [130, 70, 70, 70, 100],
            numbers=4,
        ),
        LOOK.heading("Punctuality"),
        LOOK.text(
            "A departure counts as punctual when the ramp is up no more than four minutes after the printed time. "
            "By that measure 91.3 per cent of departures were punctual. The worst month was November with 78.0 per "
            "cent, the best was June with 97.4 per cent."
        ),
        LOOK.text(
            "Islanders' season tickets rose by 3 per cent, less than prices in general. Children under six and "
            "assistance dogs travel free on every route."
        ),
        PageBreak(),
    ]


def _environment() -> list[Flowable]:
    return [
        LOOK.heading("Safety and environment"),
        LOOK.text(
            "There were two accidents that had to be reported. On 8 March a deckhand broke a wrist when a mooring "
            "line slipped at Storoy. On 19 September the Havsule touched the pier at Kesterbru in fog; nobody was "
            "hurt, and 4 metres of fender were renewed. Crews held 96 fire drills and 48 drills for a person "
            "overboard."
        ),
        LOOK.caption("Table 4. Fuel and emissions"),
        LOOK.table(
            [
                ["Measure", "2020", "2021", "2022"],
                ["Marine diesel, cubic metres", "1,310", "1,655", "2,204"],
                ["Shore power, megawatt hours", "210", "940", "1,872"],
                ["Carbon dioxide, tonnes", "3,510", "4,430", "5,900"],
                ["Carbon dioxide per passenger, kg", "6.4", "5.5", "4.2"],
            ],
            [215, 75, 75, 75],
            numbers=3,
        ),
        LOOK.text(
            "Emissions per passenger fell to 4.2 kilograms. Our aim is 2.5 kilograms in 2027. The largest step "
            "towards it is the change of the Havsule to hybrid drive, planned for her docking in autumn 2024."
        ),
        LOOK.heading("Life on the sound"),
        LOOK.text(
            "From May to July the Alke keeps below 18 knots within one nautical mile of the seabird cliffs of "
            "Fugla. Grey water from all vessels is now pumped ashore at Kesterbru; none is let into the sound."
        ),
        LOOK.heading("Outlook"),
        LOOK.text(
            "For 2023 we expect between 1.43 and 1.47 million passengers and a revenue of about 54 million crowns. "
            "Uncertainty lies in the price of fuel and in the county's contract, which runs out on 31 December "
            "2023 and will be put to tender in the summer."
        ),
        LOOK.note(
            "Auditor's note: the accounts give a true and fair view of the company's position. Two matters were "
            "raised with the board: the stock of spare parts was counted only once in the year, and cash from the "
            "cafeterias was banked weekly instead of daily. Both have since been put right."
        ),
    ]
