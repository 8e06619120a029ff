"""The same build with other seeds, to see how far its figures hang on one draw of the initial weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edge_ad.errors import ConfigurationError
from edge_ad.toolchain import build as steps
from edge_ad.toolchain.build import Progress
from edge_ad.toolchain.pack import pack_bundles
from edge_ad.toolchain.workspace import BuildPlan, Workspace


@dataclasses.dataclass(frozen=True)
class SeededBuild:
    """A build that differs from another by its seed alone."""

    workspace: Workspace
    plan: BuildPlan

    @property
    def seed(self) -> int:
        """Of its training."""
        return self.plan.settings.training.seed


def seeded_builds(folder: Path, n: int) -> list[SeededBuild]:
    """The build of a folder, which is first and is there, and below it `n - 1` others: `seeds/SEED`.

    Their seeds are the smallest that it does not have itself. Nothing is trained yet.
    Raises ConfigurationError for what is no build, or where nothing in the score is drawn at random.
    """
    workspace = Workspace(folder)
    plan = workspace.load_plan()
    if not plan.settings.needs_network:
        raise ConfigurationError(
            f"--seeds: nothing that the score of {folder} is made of is drawn at random, so all seeds have "
            "the same figures; leave it out"
        )
    found = [SeededBuild(workspace, plan)]
    assets = tuple(
        dataclasses.replace(asset, file=str((workspace.root / asset.file).resolve())) for asset in plan.assets
    )
    others = [seed for seed in range(n) if seed != found[0].seed][: n - 1]
    for seed in others:
        training = dataclasses.replace(plan.settings.training, seed=seed)
        settings = dataclasses.replace(plan.settings, training=training)
        own = dataclasses.replace(plan, settings=settings, assets=assets)
        found.append(SeededBuild(Workspace(folder / "seeds" / str(seed)), own))
    return found


def make(build: SeededBuild, jobs: int, progress: Progress) -> None:
    """Train, convert and pack; what is done already is kept.

    The parity gate does not judge it: its bundles are for measuring, and say that they are unchecked.
    Raises what the steps of a build raise.
    """
    workspace, plan = build.workspace, build.plan
    with workspace.locked():
        workspace.save_plan(plan)
        for step in (steps.train, steps.convert, steps.evaluate):
            step(workspace, plan, jobs, progress)
        pack_bundles(workspace, plan, allow_unchecked=True)
