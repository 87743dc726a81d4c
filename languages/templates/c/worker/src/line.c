#include "line.h"

#include <stdio.h>

void line(unsigned long beat, char text[LINE_MAX_BYTES])
{
    snprintf(text, LINE_MAX_BYTES, "beat %lu", beat);
}
