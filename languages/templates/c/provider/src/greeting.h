/* The words for somebody. */
#ifndef GREETING_H
#define GREETING_H

#include <stdbool.h>
#include <stddef.h>

/* Writes the words for somebody of this name, cut off after `size` bytes; false if there is no name. */
bool greeting(const char *name, size_t length, char *words, size_t size);

#endif
