import unittest

import path


class PathTest(unittest.TestCase):
    def test_the_last_segment_is_the_name(self) -> None:
        self.assertEqual(path.name("/people/Ada?loud=1"), "Ada")
        self.assertEqual(path.name("/"), "")


if __name__ == "__main__":
    unittest.main()
