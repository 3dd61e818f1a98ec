import pytest

from metaembed_rag import MetaEmbed, MetaEmbedIndex
from metaembed_rag.errors import InputError


@pytest.mark.parametrize("device", ["meta", "nonsense", "cuda:77", 1.5, ""])
def test_where_nothing_can_be_computed_is_said_before_a_model_is_read(device):
    with pytest.raises(InputError, match="leave it out"):
        MetaEmbed.from_pretrained("no-such-model", device=device)


def test_an_index_computes_where_it_is_told(tmp_path):
    path = tmp_path / "x.index"
    with MetaEmbedIndex(path, device="cpu") as index:
        assert index.configuration() == {"path": str(path), "model": "mini", "device": "cpu"}
        index.add_texts(["The library opens at nine."], ids=["hours"])
        assert index.model.encoder.device.type == "cpu"
    with MetaEmbedIndex(path, device="meta") as index, pytest.raises(InputError, match="device 'meta'"):
        index.search("When does it open?")
