"""The recipe for licence plates: as in tests/netns/test_recipes.py, with the example's own libraries."""

import pytest
from lab import listens, wait_for
from plates import EXAMPLE, MODEL, PYTHON, camera, environment, install
from recipes import CLOUD, Kitchen, installed


@pytest.fixture
def kitchen(lab):
    with installed():
        yield Kitchen(lab)


def test_recipe_alpr(kitchen, pictures):
    lab, folder = kitchen.lab, install()
    lab.start(lab.cloud, PYTHON, EXAMPLE / "server.py", "--name", "cloud", env=environment())
    wait_for(lambda: listens(lab.cloud, 12345))
    places = ["command=%s %s/server.py --name edge" % (PYTHON, folder), "visible=%s" % folder]
    places += ["env=PYTHONPATH=%s/packages" % folder, "env=TESSDATA_PREFIX=%s/packages/%s" % (folder, MODEL)]
    kitchen.add("alpr", "dest_ip=" + CLOUD, *places)

    def who():
        (name,) = camera(lab, pictures, "--rate", "0", "--count", "1")["by"]
        return name

    kitchen.edge_cloud_edge(who)
