"""The packaged model, small indexes over it, and pictures with a line of text each."""

from __future__ import annotations

import pytest
from llama_index.core.schema import ImageNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.retrievers.metaembed import MetaEmbedVectorStore
from PIL import Image, ImageDraw, ImageFont

from metaembed_rag import MetaEmbed, MetaEmbedIndex, Page
from metaembed_rag.pages import ocr

TEXTS = ["The first ferry to Holm leaves at six in the morning.", "Beans are roasted at 210 degrees."]
#: What is written in each picture.
WRITTEN = {"harbour": "The lighthouse was built in 1911", "kitchen": "Bread rises for three hours"}


@pytest.fixture(scope="session")
def model() -> MetaEmbed:
    return MetaEmbed.from_pretrained("mini")


def fill(index: MetaEmbedIndex) -> None:
    index.add(
        [Page("notes.pdf", number, text, metadata={"year": 2020 + number}) for number, text in enumerate(TEXTS, 1)]
    )
    index.add_texts(
        ["The solar park delivers most power in June."], ids=["solar"], metadatas=[{"tags": ["sun", "power"]}]
    )


@pytest.fixture(scope="session")
def filled(model):
    """An index that tests only read."""
    with MetaEmbedIndex(":memory:", model=model) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def index(model):
    with MetaEmbedIndex(":memory:", model=model) as opened:
        yield opened


@pytest.fixture
def store(index):
    return MetaEmbedVectorStore(index)


@pytest.fixture
def stored(model, tmp_path):
    """The path of a closed index."""
    path = tmp_path / "stored.index"
    with MetaEmbedIndex(path, model=model) as opened:
        fill(opened)
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Paths of the pictures by name."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = {}
    for name, text in WRITTEN.items():
        image = Image.new("RGB", (700, 110), "white")
        ImageDraw.Draw(image).text((20, 35), text, fill="black", font=ImageFont.load_default(size=34))
        paths[name] = str(folder / f"{name}.png")
        image.save(paths[name])
    return paths


@pytest.fixture(scope="session", autouse=True)
def _each_picture_is_read_once():
    """Character recognition takes a second a picture: what the reader has read, it remembers."""
    reader = ocr.shared_reader()
    read = reader.read
    known = {}

    def remember(image):
        key = (image.size, image.tobytes())
        if key not in known:
            known[key] = read(image)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "read", remember)
        yield


@pytest.fixture
def nodes(pictures):
    """Two texts and two textless pictures."""
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="handbook")}
    return [
        TextNode(id_="ferry", text=TEXTS[0], metadata={"page": 7}, relationships=source),
        TextNode(id_="coffee", text=TEXTS[1], metadata={"page": 8}),
        ImageNode(id_="a harbour", image_path=pictures["harbour"], metadata={"file_path": pictures["harbour"]}),
        ImageNode(id_="a kitchen", image_path=pictures["kitchen"], metadata={"file_path": pictures["kitchen"]}),
    ]


@pytest.fixture(scope="session")
def asked():
    """A question for each of ``nodes``."""
    return {
        "ferry": "When does the boat to Holm depart?",
        "coffee": "At which temperature are beans roasted?",
        "a harbour": "When was the lighthouse built?",
        "a kitchen": "How long does the dough rise?",
    }
