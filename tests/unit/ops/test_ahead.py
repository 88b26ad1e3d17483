"""The next piece of work is done while this one is used, and never more than that."""

import threading

import pytest

from terrashift.ops.ahead import read_ahead


def test_results_come_in_order_whatever_each_takes():
    pauses = [threading.Event() for _ in range(3)]

    def job(k: int):
        pauses[k].wait(0.02 * (3 - k))
        return k

    assert list(read_ahead([lambda k=k: job(k) for k in range(3)])) == [0, 1, 2]
    assert list(read_ahead([])) == []


def test_one_job_is_begun_while_its_forerunner_is_used_and_no_second():
    begun = [threading.Event() for _ in range(4)]
    results = read_ahead([begun[k].set for k in range(4)])
    next(results)
    assert begun[1].wait(5)
    assert not begun[2].is_set()
    next(results)
    assert begun[2].wait(5)
    assert not begun[3].is_set()


def test_jobs_run_in_a_thread_of_their_own():
    assert next(read_ahead([threading.get_ident])) != threading.get_ident()


def test_an_error_is_raised_where_its_result_is_asked_for_and_ends_the_rest():
    done = []

    def fail():
        raise OSError("disk gone")

    results = read_ahead([lambda: 1, fail, lambda: done.append(3)])
    assert next(results) == 1
    with pytest.raises(OSError, match="disk gone"):
        next(results)
    results.close()
    assert len(done) <= 1
    assert list(results) == []


def test_a_user_who_stops_leaves_no_thread_behind():
    results = read_ahead([lambda: 1, lambda: 2, lambda: 3])
    next(results)
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
