"""Options: found in a registry when they are validated, renamed with their old names still valid."""

from __future__ import annotations

import json
import pickle
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from normbench.registry import Named, Options, Registry, restored


class Shape(Named):
    """Base."""

    size: int = Field(1, gt=0)


class Circle(Shape):
    """A circle."""

    name: Literal["circle"] = "circle"
    aliases: ClassVar[dict[str, str]] = {"rad": "radius"}
    radius: float = 1.0


class Box(Shape):
    """A box."""

    name: Literal["box"] = "box"


SHAPES: Registry[Shape] = Registry("shape", Circle)


class Drawing(Options):
    """What a field that chooses from a registry takes."""

    shape: Annotated[Shape, SHAPES.choice]


def drawn(**shape):
    return Drawing.model_validate_json(json.dumps({"shape": shape}))


def test_a_class_that_is_registered_later_is_found():
    with pytest.raises(ValidationError, match="does not match any of the expected tags: 'circle'"):
        drawn(name="box")
    with restored(SHAPES.entries):
        SHAPES.add(Box)
        assert drawn(name="box", size=3).shape == Box(size=3)
        assert "Box" in Drawing.model_json_schema()["$defs"]
    with pytest.raises(ValidationError):
        drawn(name="box")
    assert "Box" not in Drawing.model_json_schema()["$defs"]


@pytest.mark.parametrize(
    ("shape", "place", "kind"),
    [
        ({"name": "circle", "size": 0}, ("shape", "size"), "greater_than"),
        ({"name": "circle", "sise": 1}, ("shape", "sise"), "extra_forbidden"),
        ({"name": "circle", "size": "1"}, ("shape", "size"), "int_type"),
        ({"size": 1}, ("shape",), "union_tag_not_found"),
        ({"name": "circel"}, ("shape",), "union_tag_invalid"),
        ({"name": 3}, ("shape",), "union_tag_invalid"),
    ],
)
def test_errors_have_the_place_and_the_kind_of_pydantics_own(shape, place, kind):
    with pytest.raises(ValidationError) as caught:
        drawn(**shape)
    (error,) = caught.value.errors()
    assert (error["loc"], error["type"]) == (place, kind)


def test_sections_keep_their_own_options_when_written_out_and_pickled():
    drawing = drawn(name="circle", radius=2.5)
    assert drawing.model_dump() == {"shape": {"size": 1, "name": "circle", "radius": 2.5}}
    assert drawing.model_dump(exclude={"shape": {"radius"}}) == {"shape": {"size": 1, "name": "circle"}}
    assert pickle.loads(pickle.dumps(drawing)) == drawing
    assert drawing.shape is Drawing(shape=drawing.shape).shape


def test_an_old_name_is_taken_and_ids_are_hashed_under_it():
    assert drawn(name="circle", rad=2.0).shape == Circle(radius=2.0)
    assert Circle(radius=2.0).hashed() == {"size": 1, "name": "circle", "rad": 2.0}
    assert Circle(radius=2.0).model_dump() == {"size": 1, "name": "circle", "radius": 2.0}
    with pytest.raises(ValidationError, match="found 'rad' and 'radius', which are the same option"):
        drawn(name="circle", rad=2.0, radius=1.0)
