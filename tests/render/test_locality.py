"""Matrices of many CPUs state what they skip."""

from collections import Counter

from netprobe.analysis.locality import Matrix, ThreadMatrix, TxMatrix
from netprobe.render.locality import matrix_as_text, matrix_rest, threads_rest, tx_as_text

CELLS = Counter({(cpu, cpu): 10 for cpu in range(20)})


def test_a_cut_matrix_has_a_line_on_the_rest():
    matrix = Matrix(CELLS)
    shown = matrix_as_text(matrix)
    assert (len(shown.rows), len(shown.columns)) == (16, 17)
    assert matrix_rest(matrix) == "… 4 more rows and 4 more columns (20.0 % of the count); -T 0 shows all"


def test_all_cpus_on_request():
    shown = matrix_as_text(Matrix(CELLS), every=True)
    assert (len(shown.rows), len(shown.columns)) == (20, 21)
    assert matrix_rest(Matrix(CELLS), every=True) == ""
    assert len(tx_as_text(TxMatrix("eth0", 20, CELLS), every=True).rows) == 20


def test_threads_that_are_skipped():
    threads = [ThreadMatrix(1, number, "server", "worker", Matrix(Counter({(0, 0): 25}))) for number in range(4)]
    assert threads_rest(threads, 3) == "… 1 more thread (25.0 % of the messages); -T 0 shows all"
    assert threads_rest(threads, 0) == threads_rest(threads, 4) == ""
