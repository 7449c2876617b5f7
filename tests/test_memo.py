"""A function that answers once for the same objects."""

import gc

from normbench.memo import Memo


def test_it_asks_once_for_the_same_objects_and_again_for_equal_ones():
    asked = []
    memo = Memo(lambda *things: asked.append(things) or len(asked))
    one, other = [1], [1]
    assert [memo(one), memo(one), memo(other), memo(one, other), memo(other, one)] == [1, 1, 2, 3, 4]
    assert len(asked) == 4


def test_a_new_object_never_gets_the_answer_of_a_deleted_one():
    memo = Memo(lambda thing: thing[0])
    for number in range(1000):
        assert memo([number]) == number  # without a reference, the next list would get the same id
        gc.collect(0)
