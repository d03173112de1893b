import pytest
from tests.drills.test_small import *
from tests.drills.test_small import place
for n in list(globals()):
    if n.startswith("test_"): del globals()[n]

@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("at,path", [("begin","so 20120229"),("open",r"so_20120229\.tif"),("staged",r"so_20120229\.tif"),("open",r"manifest"),("open","receipts/so/so_20120229"),("open","land_mask")])
def test_taken(place, tmp_path, at, path, late):
    procedures.taken_while_suspended(place, tmp_path, Fault("stop", at, path), late=late)
