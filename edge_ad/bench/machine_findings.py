"""What the machine itself did that speaks against trusting what was measured on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_ad.bench import firmware_flags, temperature
from edge_ad.bench.emulation import translates_all
from edge_ad.bench.finding import Finding
from edge_ad.bench.firmware_flags import NOW, SINCE_BOOT, SUPPLY, UNDER_VOLTAGE, named
from edge_ad.bench.governor import FULL_CLOCK, clock_range, full_clock_commands, governors, own_scaling
from edge_ad.bench.host import Host
from edge_ad.bench.machine import MachineFacts
from edge_ad.bench.machine_state import MachineState
from edge_ad.bench.temperature import COOLER, HOT_C, WARM_C

SAME_CLOCK = 0.02
"""Share by which a processor's clock may differ between two looks: some round, some measure it."""
BUSY_SHARE = 0.05
"""Share of all processors that other programs may keep busy."""
STOLEN_SHARE = 0.01
"""Share of all processors that a hypervisor may give away."""
_AGAIN = "measure again: edge-ad bench"


def machine_findings(
    host: Host,
    facts: MachineFacts,
    states: Sequence[MachineState],
    *,
    others_cpus: float | None,
    stolen_cpus: float | None,
    busiest: Sequence[str],
) -> Iterator[Finding]:
    """Findings from what the machine is, and from its states, the first before and the last after measuring.

    `others_cpus` and `stolen_cpus` are processors that were busy with other programs and other machines, the
    most of any result; `busiest` names the programs, the busiest first.
    """
    yield from _emulation(facts)
    yield from _supply(states)
    yield from _throttling(states)
    yield from _temperature(states)
    yield from _governor(host)
    yield from _frequency(host, states)
    yield from _busy(facts, others_cpus, stolen_cpus, busiest)


def _emulation(facts: MachineFacts) -> Iterator[Finding]:
    translator = facts.translator
    if translator is None and translates_all(facts.hypervisor, facts.architecture):
        translator = f"{facts.hypervisor}, which translates the whole machine"
    if translator:
        yield Finding(
            "emulated",
            "void",
            f"{translator}: instructions are translated, and how long that takes says nothing of any board",
            (
                "run edge-ad bench on the board itself",
                "edge-ad bench BUNDLE --instructions  # on the workstation: counts that can be compared",
            ),
        )
    elif facts.hypervisor:
        yield Finding(
            "virtual-machine",
            "note",
            f"a virtual machine ({facts.hypervisor}): what else its host does is not seen from here",
            ("compare such results with those of the same machine only, or measure on the board itself",),
        )


def _supply(states: Sequence[MachineState]) -> Iterator[Finding]:
    flags = [state.firmware_flags for state in states if state.firmware_flags is not None]
    if not flags:
        return
    since = UNDER_VOLTAGE << 16
    if any(flag & UNDER_VOLTAGE for flag in flags) or (flags[-1] & since and not flags[0] & since):
        yield Finding(
            "under-voltage",
            "doubt",
            f"the supply voltage was too low while it was measured ({flags[-1]:#x}), for which the firmware "
            "slows the clock down",
            (SUPPLY, firmware_flags.LOOK_AGAIN, _AGAIN),
        )
    elif flags[0] & since:
        yield Finding(
            "under-voltage",
            "note",
            f"the supply voltage was too low at some time since the start ({flags[0]:#x}), not while it was "
            "measured",
            (SUPPLY,),
        )


def _throttling(states: Sequence[MachineState]) -> Iterator[Finding]:
    """Of a Pi's firmware, which has flags, and of x86 processors, which count."""
    flags = [state.firmware_flags for state in states if state.firmware_flags is not None]
    if flags:
        now = 0
        for flag in flags:
            now |= flag & sum(bit for bit in NOW if bit != UNDER_VOLTAGE)
        names = {bit: name for bit, name in SINCE_BOOT.items() if bit != UNDER_VOLTAGE << 16}
        new = named(flags[-1] & ~flags[0], names)
        if now or new:
            words = named(now, NOW) + [name for name in new if not now]
            yield Finding(
                "throttled",
                "doubt",
                f"the clock was held down while it was measured: {', '.join(words)} ({flags[-1]:#x})",
                (COOLER, firmware_flags.LOOK_AGAIN, _AGAIN),
            )
        elif named(flags[0], names):
            yield Finding(
                "throttled",
                "note",
                f"some time before, since the start: {', '.join(named(flags[0], names))} ({flags[0]:#x})",
                (COOLER,),
            )
    events = [state.throttle_events for state in states if state.throttle_events is not None]
    if events and events[-1] > events[0]:
        yield Finding(
            "throttled",
            "doubt",
            f"the processor has slowed itself down for its temperature {events[-1] - events[0]} times while "
            "it was measured",
            (COOLER, _AGAIN),
        )


def _temperature(states: Sequence[MachineState]) -> Iterator[Finding]:
    degrees = [state.temperature_c for state in states if state.temperature_c is not None]
    hottest = max(degrees, default=0.0)
    if hottest >= WARM_C:
        is_hot = hottest >= HOT_C
        text = "so hot that the clock is slowed down"
        if not is_hot:
            text = f"near {HOT_C:g} °C, where the clock is slowed down"
        yield Finding(
            "temperature",
            "doubt" if is_hot else "note",
            f"{hottest:.0f} °C: {text}",
            (COOLER, temperature.LOOK_AGAIN, _AGAIN),
        )


def _governor(host: Host) -> Iterator[Finding]:
    found = governors(host)
    slow = sorted(
        name for name, folder in found.items() if name != FULL_CLOCK and not own_scaling(host, folder)
    )
    if slow:
        yield Finding(
            "governor",
            "doubt",
            f"{', '.join(slow)} instead of {FULL_CLOCK}: {clock_range(host, found[slow[0]])}; samples "
            "without a pause between them, as here, are decided on faster than they will be",
            (*full_clock_commands(host), _AGAIN),
        )


def _frequency(host: Host, states: Sequence[MachineState]) -> Iterator[Finding]:
    seen: dict[int, list[int]] = {}
    for state in states:
        for clock in state.clocks:
            if clock.frequency_khz:
                seen.setdefault(clock.cpu, []).append(clock.frequency_khz)
    changed = {cpu: khz for cpu, khz in seen.items() if max(khz) > (1 + SAME_CLOCK) * min(khz)}
    if changed:
        cpu, khz = max(changed.items(), key=lambda item: max(item[1]) / min(item[1]))
        yield Finding(
            "frequency",
            "doubt",
            f"the clock changed: {min(khz) // 1000} to {max(khz) // 1000} MHz on processor {cpu}",
            (*full_clock_commands(host), _AGAIN),
        )
        return
    changes = [state.clock_changes for state in states if state.clock_changes is not None]
    if changes and changes[-1] > changes[0]:
        yield Finding(
            "frequency",
            "note",
            f"the clock was changed {changes[-1] - changes[0]} times while it was measured, and was the same "
            "whenever it was looked at",
            tuple(full_clock_commands(host)),
        )


def _busy(
    facts: MachineFacts, others_cpus: float | None, stolen_cpus: float | None, busiest: Sequence[str]
) -> Iterator[Finding]:
    if others_cpus is not None and others_cpus > BUSY_SHARE * facts.n_cpus:
        who = f", most of all {', '.join(busiest)}" if busiest else ""
        yield Finding(
            "busy",
            "doubt",
            f"other programs kept {others_cpus:.2f} of {facts.n_cpus} processors busy meanwhile{who}",
            ("top -b -n 1 -o %CPU | head -n 15  # and stop what is not needed", _AGAIN),
        )
    if stolen_cpus is not None and stolen_cpus > STOLEN_SHARE * facts.n_cpus:
        yield Finding(
            "stolen",
            "doubt",
            f"the hypervisor gave {stolen_cpus:.2f} of {facts.n_cpus} processors to other machines meanwhile",
            ("measure when its host is idle, or on a machine of its own",),
        )
