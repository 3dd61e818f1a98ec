"""Safety guide of a hiking club that does not exist."""

from __future__ import annotations

from pathlib import Path

from reportlab.lib import colors
from reportlab.platypus import Flowable, PageBreak

from authoring.style import Look, gap, write

LOOK = Look(accent=colors.HexColor(0x2F5D3A))
TITLE = "Karrow Ridge Hiking Club - Safety guide for walk leaders"


def author(folder: Path) -> Path:
    """Write the guide into ``folder`` and say where it is."""
    path = folder / "hiking-safety-guide.pdf"
    write(path, TITLE, LOOK, [*_before(), *_kit(), *_weather(), *_trouble()])
    return path


def _before() -> list[Flowable]:
    return [
        LOOK.title("Safety guide"),
        LOOK.text(
            "For walk leaders of the Karrow Ridge Hiking Club. Read it before your first season, carry it after."
        ),
        LOOK.heading("Before the walk"),
        LOOK.steps(
            [
                "Walk the route yourself within the last two months. Paths change: a bridge goes, a bull arrives.",
                (
                    "Write the route card: stages, times, ways out, last bus. Leave one copy with the club's home contact and "
                    "say when you will ring in. If no call comes within 90 minutes of that time, the contact raises the alarm."
                ),
                "Count twelve walkers a leader at most; above the tree line eight. From nine walkers on, name a back marker.",
                "Ask everybody in private about heart trouble, allergies and medicines, and note where these are carried.",
            ]
        ),
        LOOK.heading("Reckoning the time"),
        LOOK.text(
            "Allow one hour for every 4 kilometres on the map, and add one hour for every 400 metres of ascent. For "
            "descents steeper than one in five add 20 minutes for every 300 metres. With children or heavy packs, add "
            "a third to the whole. Pauses come on top: ten minutes an hour."
        ),
        LOOK.table(
            [
                ["Club walk", "Length", "Ascent", "Reckoned time", "Grade"],
                ["Otter Mill round", "8 km", "120 m", "2 h 20", "easy"],
                ["Two Tarns", "13 km", "480 m", "4 h 30", "moderate"],
                ["Karrow Ridge end to end", "21 km", "1,150 m", "8 h 10", "hard"],
                ["The Needle's Eye", "9 km", "760 m", "4 h 10", "hard, hands needed"],
                ["Heron Marsh boardwalk", "5 km", "15 m", "1 h 20", "wheelchairs welcome"],
            ],
            [150, 60, 65, 85, 90],
        ),
        LOOK.heading("When not to set out"),
        LOOK.text(
            "Turn back at the car park when gusts above 60 kilometres an hour are forecast for the ridge, when thunder is "
            "likely before three o'clock, or when the avalanche bulletin shows level 3 or more for slopes on your way. "
            "Nobody in this club has ever been blamed for a walk that did not take place."
        ),
        PageBreak(),
    ]


def _kit() -> list[Flowable]:
    return [
        LOOK.heading("What to carry"),
        LOOK.table(
            [
                ["Everybody", "The leader as well"],
                ["Waterproof jacket and trousers", "Map 1:25,000 and compass, not only a telephone"],
                ["One warm layer more than seems needed", "Group shelter for ten people"],
                [
                    "Water: 1.5 litres, 3 litres above 25 degrees",
                    "First-aid kit, checked in spring and autumn",
                ],
                ["Food for the day and a bar that comes home again", "Head torch with spare batteries"],
                ["Whistle on the shoulder strap", "20 metres of 8 mm rope"],
                ["Hat and gloves from September to May", "Power bank and a charging cable"],
            ],
            [225, 225],
        ),
        LOOK.heading("The first-aid kit"),
        LOOK.text(
            "Two pressure bandages, one triangular bandage, twelve plasters, blister pads, a splint that can be rolled, "
            "tweezers and a tick card, a rescue blanket, gloves, a pencil and the accident form. No tablets are handed "
            "out: a walker may take only what is his or her own."
        ),
        LOOK.heading("Feet"),
        LOOK.text(
            "Stop at the first rub, not at the first blister. Dry the skin, put on a blister pad that reaches a thumb's "
            "breadth over the red spot, and change the sock. More club walks have ended early for blisters than for all "
            "other reasons together: 17 of 41 in the past five years."
        ),
        LOOK.caption("Walks ended early in five years, by reason"),
        LOOK.bars(["Blisters", "Weather", "Sprains", "Lost way", "Illness"], [17, 11, 7, 4, 2], 20, 5, unit="walks"),
        gap(6),
        LOOK.heading("Ticks"),
        LOOK.text(
            "After walks through bracken, everybody checks knees, waist and hairline the same evening. Pull a tick out "
            "slowly and straight with the card; use no oil and no glue. Note the date, and see a doctor if a red ring "
            "grows around the bite within four weeks."
        ),
        PageBreak(),
    ]


def _weather() -> list[Flowable]:
    return [
        LOOK.heading("Thunder and lightning"),
        LOOK.text(
            "Count the seconds between flash and thunder; three seconds are about one kilometre. Below 30 seconds you are "
            "in danger and leave ridges, single trees, wire fences and water. Crouch on your rucksack with feet "
            "together, at least five metres from the next person. Move on only when 30 minutes have passed since the "
            "last thunder."
        ),
        LOOK.heading("Cold"),
        LOOK.text(
            "Shivering, clumsy fingers, silence: these come first. Get the walker out of the wind and into the group "
            "shelter, change wet clothes, give warm sweet drinks, no alcohol. When shivering stops though the person is "
            "still cold, it is an emergency: keep the body level, move it gently and call for help."
        ),
        LOOK.heading("Heat"),
        LOOK.text(
            "Plan to be off open slopes between noon and three. Headache, dizziness and cold damp skin mean heat "
            "exhaustion: shade, legs up, water with a pinch of salt. Hot dry skin and confusion mean heat stroke: cool "
            "with everything at hand and call for help at once."
        ),
        LOOK.heading("Fog"),
        LOOK.text(
            "Gather the group, so that everybody sees the next person. Take a bearing to the nearest handrail, such as a "
            "wall, a stream or a fence, and count paces: 65 double paces are about 100 metres for most walkers."
        ),
        LOOK.heading("Crossing a stream"),
        LOOK.text(
            "Look for a wide, shallow place upstream of bends, never above a fall. Water that reaches the knee and runs "
            "faster than you walk is too much: go round or turn back. Keep boots on, undo the hip belt, face upstream "
            "and move one foot at a time. Snow-fed streams are lowest early in the morning."
        ),
        LOOK.table(
            [
                ["Wind on the ridge", "What you notice", "What we do"],
                ["below 30 km/h", "grass moves, hoods stay down", "walk as planned"],
                ["30 to 50 km/h", "talking needs effort", "shorten ridge stages, hats off or tied"],
                ["50 to 60 km/h", "steps go astray", "leave the ridge by the next way out"],
                ["above 60 km/h", "children cannot stand", "do not go up"],
            ],
            [110, 160, 180],
        ),
        PageBreak(),
    ]


def _trouble() -> list[Flowable]:
    return [
        LOOK.heading("When something has happened"),
        LOOK.steps(
            [
                "Stop. Keep the others together in a safe place and send nobody off alone.",
                "Look after bleeding, breathing and cold, in this order. Put the shelter over patient and helper.",
                (
                    "Ring the emergency number. Say where: grid reference, height, nearest path. Say what, how many, which "
                    "weather. Then keep the line free."
                ),
                "Without signal, send two walkers with the written accident form to the nearest house on the route card.",
            ]
        ),
        LOOK.heading("Signals"),
        LOOK.text(
            "The alpine distress signal is six signs in a minute, by whistle, torch or shouting, then a minute's pause, and "
            "again. The answer is three signs in a minute. To a helicopter, both arms raised like a Y mean yes, we "
            "need help; one arm up and one down like an N mean no. Kneel at the edge of the landing place, hold loose "
            "things tight and wait until the crew beckons you."
        ),
        LOOK.heading("A lost walker"),
        LOOK.text(
            "Go back together to the place where all were last seen. Blow six times, listen for a minute. Two pairs search "
            "the next path junctions for 20 minutes at most. If nothing is found, alarm the rescue service; do not "
            "wait for dusk."
        ),
        LOOK.note(
            "Walkers who find that they are lost: stay where you are, put on everything you have, hang something bright "
            "where it can be seen, and blow the whistle."
        ),
        LOOK.heading("Dogs, cattle and bulls"),
        LOOK.text(
            "Keep 20 metres from cows with calves and pass on the uphill side. Dogs are on a lead in every enclosed field. "
            "If cattle come at you, let the dog go: it is faster than they are, and it is the dog they are after."
        ),
        LOOK.heading("After the walk"),
        LOOK.text(
            "Ring the home contact. Hand the accident form, even for small things, to the safety officer, Bram Hollis, within "
            "five days. Replace what was taken from the kit. Every leader repeats the two-day first-aid course every "
            "three years, and the club pays for it."
        ),
    ]
