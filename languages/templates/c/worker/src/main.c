/* Runs beside the services that answer, for as long as the application does. */

#include <stdio.h>
#include <unistd.h>

#include "line.h"

int main(void)
{
    for (unsigned long beat = 1;; beat++) {
        char text[LINE_MAX_BYTES];
        line(beat, text);
        puts(text); /* goes to Skep's log */
        fflush(stdout);
        sleep(1);
    }
}
