"""What stands at the head of every page of a build."""

from __future__ import annotations

from edge_ad.toolchain.workspace import BuildPlan


def title(plan: BuildPlan) -> str:
    """Of the build."""
    n = len(plan.assets)
    what = plan.assets[0].name if n == 1 else f"{n} assets"
    return f"Build report: {what}"


def made_of(plan: BuildPlan) -> str:
    """Recordings, windows, channels, and what makes an alarm."""
    n = len(plan.assets)
    data = f"{n} recording{'s' * (n > 1)}, {sum(asset.n_rows for asset in plan.assets)} rows"
    preset = f", preset {plan.preset}" if plan.preset else ""
    return (
        f"{data}{preset}; windows of {plan.settings.window_length} samples, {len(plan.format.channels)} "
        f"channels, a sample each {plan.format.sample_period_s:g} s. An alarm: {plan.settings.alarm.text()}."
    )
