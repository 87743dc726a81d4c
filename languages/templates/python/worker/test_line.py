import unittest

from line import line


class LineTest(unittest.TestCase):
    def test_a_line_says_which_beat_it_is(self) -> None:
        self.assertEqual(line(7), "beat 7")


if __name__ == "__main__":
    unittest.main()
