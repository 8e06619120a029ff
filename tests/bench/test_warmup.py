"""A warm-up ends when durations no longer change, and at some time in any case."""

from edge_ad.bench.warmup import AT_MOST, AT_MOST_S, BLOCK, WarmUp


def run(medians_ns, at_least=0):
    """Blocks of equal durations, one after the other."""
    warm = WarmUp(at_least)
    for median in medians_ns:
        if warm.is_over:
            break
        warm.add([median] * BLOCK)
    return warm


def test_it_ends_with_the_third_block_that_agrees():
    warm = run([900, 500, 300, 101, 100, 102, 100, 100])
    assert warm.is_over
    assert warm.is_stable
    assert warm.count == 6 * BLOCK


def test_not_before_as_many_windows_as_were_asked_for():
    assert run([100] * 100, at_least=1000).count == 1000


def test_durations_that_fall_on_and_on_are_not_stable():
    warm = run([1_000_000 * 0.95**number for number in range(1000)])
    assert warm.is_over
    assert not warm.is_stable
    assert warm.count == AT_MOST


def test_slow_boards_do_not_warm_up_for_ever():
    """Every other block twice as slow, so that it never gets stable."""
    slow = int(AT_MOST_S * 1e9 / BLOCK / 10)
    warm = run([slow, slow // 2] * 50)
    assert warm.is_over
    assert not warm.is_stable
    assert 10 * BLOCK < warm.count < 20 * BLOCK
