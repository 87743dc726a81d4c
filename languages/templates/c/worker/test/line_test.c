#include <stdio.h>
#include <string.h>

#include "../src/line.h"

int main(void)
{
    char text[LINE_MAX_BYTES];
    line(7, text);
    if (strcmp(text, "beat 7") != 0) {
        fprintf(stderr, "\"%s\", not \"beat 7\"\n", text);
        return 1;
    }
    printf("ok\n");
    return 0;
}
