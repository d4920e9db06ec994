"""The pages of the site that are made: parameters from the schema, links of files that stand elsewhere."""

import json

from tools.site_pages import SCHEMA, api_pages, parameter_table, parameters, shown


def test_a_table_states_default_bounds_and_meaning():
    number = {"type": "integer", "minimum": 1, "exclusiveMaximum": 9}
    fields = {
        "copies": number | {"default": 3, "description": "a|b"},
        "bound": {"anyOf": [number, {"type": "null"}], "default": None},
        "way": {"enum": ["last", "best"], "default": "last"},
        "seeds": {"type": "array", "items": {"type": "integer"}, "default": [0]},
    }
    rows = [line.replace("\N{NO-BREAK SPACE}", " ") for line in parameter_table({"properties": fields})[4:]]
    assert rows == [
        "| `copies` | `3` | integer ≥ 1, < 9 | a\\|b |",
        "| `bound` | `empty` | integer ≥ 1, < 9 or empty |  |",
        '| `way` | `"last"` | `last`, `best` |  |',
        "| `seeds` | `[0]` | list of integer |  |",
    ]


def test_every_key_of_the_schema_is_on_the_page():
    models = json.loads(SCHEMA.read_text())["$defs"]
    page = parameters(models)
    blocks = [model for name, model in models.items() if name not in ("DatasetParams", "Defaults", "OwnTrain")]
    keys = [f"| `{key}` |" for model in blocks for key in model.get("properties", {})]
    assert len(keys) > 100
    assert page.count("\n| `") == len(keys)
    assert all(key in page for key in keys)


def test_links_to_docs_are_kept_and_others_become_text(tmp_path):
    file = tmp_path / "CARD.md"
    file.write_text("[a](../../docs/faq.md#x) [b](../LICENSE) [c](https://c) ![d](d.png)")
    assert shown(file, "cards/model.md") == "[a](../faq.md#x) b [c](https://c) ![d](d.png)"


def test_the_reference_has_a_page_for_each_package_and_names_every_module(tmp_path):
    for name in ("mmfer/__init__.py", "mmfer/errors.py", "mmfer/face/__init__.py", "mmfer/face/hog.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    pages = api_pages(tmp_path / "mmfer")
    assert pages["api/face.md"].split("::: ")[1:] == ["mmfer.face\n\n", "mmfer.face.hog\n"]
    assert pages["api/foundations.md"].split("::: ")[1:] == ["mmfer\n\n", "mmfer.errors\n"]
