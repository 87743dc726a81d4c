"""Greets people for other services."""

from componentize_py_types import Err
from greeting import greeting
from wit_world import exports
from wit_world.exports.greetings import Problem_NoName


class Greetings(exports.Greetings):
    def greet(self, name: str) -> str:
        words = greeting(name)
        if words is None:
            raise Err(Problem_NoName())
        return words
