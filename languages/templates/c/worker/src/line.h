/* What the worker says. */
#ifndef LINE_H
#define LINE_H

#define LINE_MAX_BYTES 32

/* Writes the line of this beat. */
void line(unsigned long beat, char text[LINE_MAX_BYTES]);

#endif
