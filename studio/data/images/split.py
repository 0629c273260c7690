"""Dividing pictures so that nothing in test was trained on: those that look alike, or belong to one group, stay together."""

from __future__ import annotations

from collections.abc import Sequence

from studio.data.images.look import Picture
from studio.data.images.similarity import NearImages
from studio.data.similarity import Clusters, plain_key
from studio.data.split import Division, divide_clusters
from studio.schema.image_recipe import ImageSplitSettings

_REMEDY = "Add other pictures, lower split.distance or split.difference, or name a finer group."


def divide_pictures(pictures: Sequence[Picture], split: ImageSplitSettings) -> Division[Picture]:
    """Divide pictures into train, validation and test; every cluster of alike pictures lies in one of them.

    Raises:
        DataError: there are too few pictures or too few clusters for what is asked.
    """
    clusters = cluster_pictures(pictures, split)
    return divide_clusters(pictures, clusters, split.validation, split.test, split.seed, _REMEDY)


def cluster_pictures(pictures: Sequence[Picture], split: ImageSplitSettings) -> list[list[int]]:
    """Numbers of pictures that have to stay together: near ones (verified), one group, equal pixels, one caption if asked."""
    clusters = Clusters(len(pictures))
    known: dict[tuple[str, str], int] = {}
    for index, picture in enumerate(pictures):
        ties = [("pixels", picture.pixel_hash)]
        ties += [("group", picture.group)] if picture.group is not None else []
        ties += [("caption", plain_key(picture.caption))] if split.same_caption and picture.caption else []
        for tie in ties:
            clusters.join(known.setdefault(tie, index), index)
    for index, near in NearImages(pictures, split.distance, split.difference).earlier():
        for other, _, _ in near:
            clusters.join(other, index)
    return clusters.groups()
