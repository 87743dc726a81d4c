import unittest

from greeting import greeting


class GreetingTest(unittest.TestCase):
    def test_whoever_has_a_name_is_greeted(self) -> None:
        self.assertEqual(greeting("Ada"), "Hello, Ada!")

    def test_nobody_is_not(self) -> None:
        self.assertIsNone(greeting(""))


if __name__ == "__main__":
    unittest.main()
