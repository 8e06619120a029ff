import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from edge_ad.runtime.mqtt.backlog import MOST_CHARACTERS, Backlog
from edge_ad.runtime.sources.source import Line


def lines(*texts):
    return [Line(text) for text in texts]


@given(st.lists(st.one_of(st.tuples(st.integers(1, 9), st.booleans()), st.none()), max_size=60))
def test_it_is_a_queue_that_forgets_its_oldest(steps):
    """A pair puts a message of so many lines, with a delivery or without; None takes three lines."""
    subject, model, n = Backlog(0.0, most_lines=10), [], 0
    for step in steps:
        if step is None:
            taken, finished = subject.take(3)
            expected, model = model[:3], model[3:]
            assert [line.text for line in taken] == [text for text, _, _ in expected]
            assert finished == [delivery for _, delivery, is_last in expected if delivery and is_last]
            continue
        size, is_delivered = step
        message = [str(n + i) for i in range(size)]
        n += size
        delivery = f"delivery {n}" if is_delivered else None
        outcome = subject.put(lines(*message), delivery)
        before = len(model)
        while not is_delivered and len(model) >= 10 and model[0][1] is None:
            model.pop(0)
        if len(model) < 10:
            assert outcome == (before - len(model), False)
            model += [(text, delivery, text == message[-1]) for text in message]
        elif is_delivered:
            assert outcome == (0, True)
        else:
            assert outcome == (before - len(model) + size, False)
        assert len(subject) == len(model)


def test_long_lines_count():
    subject = Backlog(0.0)
    for _ in range(3):
        subject.put(lines("x" * (MOST_CHARACTERS // 2)), None)
    assert len(subject) == 2


def test_the_writer_waits_for_the_reader():
    subject, n = Backlog(60.0, most_lines=10), 500
    forgotten = []

    def write():
        for i in range(n):
            forgotten.append(subject.put(lines(str(i)), None).n_forgotten)

    writer = threading.Thread(target=write)
    writer.start()
    read = []
    while len(read) < n:
        assert len(subject) <= 10
        read += subject.take(4)[0]
    writer.join()
    assert [line.text for line in read] == [str(i) for i in range(n)]
    assert not any(forgotten)


def test_its_patience_ends_and_comes_back():
    subject = Backlog(1.0, most_lines=4)
    for i in range(8):
        subject.put(lines(str(i)), None)
    assert [line.text for line in subject.take(9)[0]] == ["4", "5", "6", "7"]
    for i in range(4):
        subject.put(lines(str(i)), None)
    reader = threading.Timer(0.05, subject.take, [1])
    reader.start()
    assert subject.put(lines("4"), None).n_forgotten == 0  # it waited again, and there was room
    reader.join()


def test_closing_it_ends_the_waiting():
    subject = Backlog(3600.0, most_lines=1)
    subject.put(lines("0"), None)
    writer = threading.Thread(target=subject.put, args=[lines("1"), None])
    writer.start()
    while writer.is_alive():
        subject.close()
        time.sleep(0.01)
    writer.join()
    assert subject.put(lines("2"), "delivery").is_refused


def test_what_is_released_stays_without_its_deliveries():
    subject = Backlog(0.0)
    subject.put(lines("0", "1"), "delivery")
    assert subject.release() == ["delivery"]
    taken, finished = subject.take(9)
    assert [line.text for line in taken] == ["0", "1"]
    assert finished == []
