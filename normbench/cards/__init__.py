"""`normbench scorecard`: a report card of one normalization, compared with others.

`sections.py` has the experiments and what is read of them, `budget.py` chooses how much of them fits,
`training.py` trains them, `card.py` makes numbers, intervals and ranks, `pages.py` writes them down.
"""
