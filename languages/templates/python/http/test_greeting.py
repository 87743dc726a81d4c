import unittest

from greeting import greeting


class GreetingTest(unittest.TestCase):
    def test_the_last_segment_is_greeted(self) -> None:
        self.assertEqual(greeting("/Ada"), "Hello, Ada!")
        self.assertEqual(greeting("/people/Ada?loud=1"), "Hello, Ada!")

    def test_without_a_name_the_world_is(self) -> None:
        self.assertEqual(greeting("/"), "Hello, world!")


if __name__ == "__main__":
    unittest.main()
