"""What can be bought: a small catalogue of items and colours, and how BrickLink writes their names."""

from decimal import Decimal
from typing import NamedTuple

_ENTITIES = str.maketrans({"&": "&amp;", "'": "&#39;", "(": "&#40;", ")": "&#41;"})


def escaped(text: str, times: int = 1) -> str:
    """The text with BrickLink's HTML entities in it, escaped once or several times over.

    Quotes, parentheses and ampersands become entities; angle brackets do not: raw tags reach the wire as they
    are.
    """
    for _ in range(times):
        text = text.translate(_ENTITIES)
    return text


class Color(NamedTuple):
    """A BrickLink colour; 0 is "no colour"."""

    color_id: int
    name: str


class CatalogueItem(NamedTuple):
    """Something in the catalogue: `name` is plain text, `weight` is grams, `price` a typical price of one.

    A custom item of the seller's is not in the catalogue, and has no number.
    """

    no: str | None
    type: str
    category_id: int
    name: str
    weight: Decimal
    price: Decimal
    escapes: int = 1

    @property
    def wire_name(self) -> str:
        """The name as the API sends it, with its HTML entities."""
        return escaped(self.name, self.escapes)


NO_COLOR = Color(0, "(Not Applicable)")

COLORS = (
    Color(1, "White"),
    Color(2, "Tan"),
    Color(3, "Yellow"),
    Color(4, "Orange"),
    Color(5, "Red"),
    Color(6, "Green"),
    Color(7, "Blue"),
    Color(11, "Black"),
    Color(12, "Trans-Clear"),
    Color(14, "Trans-Dark Blue"),
    Color(34, "Lime"),
    Color(36, "Bright Green"),
    Color(41, "Aqua"),
    Color(63, "Dark Blue"),
    Color(69, "Dark Tan"),
    Color(80, "Dark Green"),
    Color(85, "Dark Bluish Gray"),
    Color(86, "Light Bluish Gray"),
    Color(88, "Reddish Brown"),
    Color(110, "Bright Light Orange"),
    Color(120, "Dark Brown"),
    Color(155, "Olive Green"),
)

_ROWS = """
3001|PART|5|Brick 2 x 4|2.32|0.12
3002|PART|5|Brick 2 x 3|1.78|0.10
3003|PART|5|Brick 2 x 2|1.15|0.06
3004|PART|5|Brick 1 x 2|0.79|0.05
3005|PART|5|Brick 1 x 1|0.44|0.04
3008|PART|5|Brick 1 x 8|2.89|0.19
3010|PART|5|Brick 1 x 4|1.52|0.09
30136|PART|6|Brick, Modified 1 x 2 Log (Palisade)|0.85|0.07
98283|PART|6|Brick, Modified 1 x 2 with Masonry Profile (Brick Profile)|0.80|0.06
3062b|PART|8|Brick, Round 1 x 1 Open Stud|0.28|0.05
3941|PART|8|Brick, Round 2 x 2 with Axle Hole|1.06|0.08
3659|PART|7|Arch 1 x 4|1.35|0.12
2343|PART|18|Minifigure, Utensil Goblet|0.26|0.07
37776|PART|18|Minifigure, Utensil Lantern|0.48|0.83
3626c|PART|238|Minifigure, Head (Plain) - Hollow Stud|0.57|0.09
973pb0001|PART|239|Torso Captain's Coat with 'Anchor' Pattern|1.75|2.40
3020|PART|26|Plate 2 x 4|1.40|0.08
3021|PART|26|Plate 2 x 3|1.06|0.07
3022|PART|26|Plate 2 x 2|0.64|0.05
3023|PART|26|Plate 1 x 2|0.36|0.04
3024|PART|26|Plate 1 x 1|0.20|0.03
3034|PART|26|Plate 2 x 8|2.58|0.15
3460|PART|26|Plate 1 x 8|1.36|0.08
3666|PART|26|Plate 1 x 6|1.06|0.08
3710|PART|26|Plate 1 x 4|0.71|0.05
4085d|PART|27|Plate, Modified 1 x 1 with Open O Clip Thick (Vertical Grip)|0.29|0.04
4623b|PART|27|Plate, Modified 1 x 2 with Bar Arm Up (Horizontal Arm 5mm)|0.50|0.05
15573|PART|27|Plate, Modified 1 x 2 with 1 Stud with Groove (Jumper)|0.39|0.06
2420|PART|26|Plate, Modified 2 x 2 Corner|0.50|0.05
3039|PART|31|Slope 45 2 x 2|0.98|0.06
3040|PART|31|Slope 45 2 x 1|0.58|0.05
54200|PART|31|Slope 30 1 x 1 x 2/3|0.22|0.04
60481|PART|31|Slope 65 2 x 1 x 2|1.16|0.07
11477|PART|438|Slope, Curved 2 x 1 x 2/3|0.31|0.08
3665|PART|32|Slope, Inverted 45 2 x 1|0.59|0.05
2431|PART|37|Tile 1 x 4|0.54|0.07
3069b|PART|37|Tile 1 x 2 with Groove|0.26|0.05
3070b|PART|37|Tile 1 x 1 with Groove|0.16|0.04
6636|PART|37|Tile 1 x 6|0.83|0.12
98138|PART|38|Tile, Round 1 x 1|0.12|0.04
33909|PART|38|Tile, Modified 2 x 2 with Studs on Edge|0.57|0.19
2489|PART|10|Container, Barrel 2 x 2 x 2|1.70|0.17
4738a|PART|10|Container, Treasure Chest Bottom - Slots in Back|2.50|0.09
3673|PART|133|Technic, Pin without Friction Ridges Lengthwise|0.20|0.03
2780|PART|133|Technic, Pin with Short Friction Ridges & Slots|0.21|0.02
3705|PART|130|Technic, Axle 4L|0.59|0.05
32524|PART|134|Technic, Liftarm Thick 1 x 7|1.72|0.11
6587|PART|130|Technic, Axle 3L with Stud (Dark Tan's Own)|0.54|0.08
x1435|PART|160|Rubber Band Medium "Travis" (Fish & Chips)|0.10|0.21
75192-1|SET|65|Millennium Falcon - UCS (2nd edition)|10900.00|690.00
10265-1|SET|673|Ford Mustang|1890.00|149.90
31058-1|SET|759|Mighty Dinosaurs|280.00|15.50
7657-1|SET|65|AT-ST|420.00|50.00
6080-1|SET|186|King's Castle|1250.00|119.00
40158-1|SET|771|Pirates Chess Set, Pirates III|870.00|64.95
30510-1|SET|771|90 Years of Cars (Polybag)|45.00|4.49
cas019|MINIFIG|9|Dragon Knights - Majisto Wizard, no Cape|4.77|3.00
sw0001a|MINIFIG|65|Battle Droid with 2 Straight Arms|3.10|1.20
hp005|MINIFIG|146|Harry's Friend (Gryffindor Shield Torso, Black Legs)|3.30|4.75
cty0913|MINIFIG|67|Police - City Officer, Sunglasses|3.20|2.10
pi082|MINIFIG|188|Pirate 'Red Beard', Cutlass & Hook|4.10|7.65
col150|MINIFIG|771|Queen (Series 10), Complete with Stand|6.50|5.20
851400|GEAR|300|Game, Chess Set (Castle)|760.00|42.00
853665|GEAR|286|Key Chain R2-D2|28.00|3.95
5005107|GEAR|744|Bag, Tote 'Make & Play'|95.00|6.30
b05lotr|BOOK|397|Visual Dictionary (Hardcover)|820.00|17.90
c93de|CATALOG|402|1993 Large German - Traumwelt|72.00|3.20
6080-1i|INSTRUCTION|186|King's Castle Instructions|61.00|9.90
7657-1o|ORIGINAL_BOX|65|AT-ST Original Box|155.00|6.00
"""


def _catalogue() -> tuple[CatalogueItem, ...]:
    items = []
    for number, row in enumerate(_ROWS.strip().splitlines()):
        no, kind, category, name, weight, price = row.split("|")
        # Every eighth name is escaped twice, as BrickLink does it for some names.
        times = 2 if number % 8 == 7 else 1
        items.append(CatalogueItem(no, kind, int(category), name, Decimal(weight), Decimal(price), times))
    return tuple(items)


CATALOGUE = _catalogue()
"""Every item there is: mostly parts, then sets, minifigures, gear and paper."""
