#include <stdio.h>
#include <string.h>

#include "../src/greeting.h"

int main(void)
{
    char words[64];
    if (!greeting("Ada", 3, words, sizeof words) || strcmp(words, "Hello, Ada!") != 0) {
        fprintf(stderr, "whoever has a name is greeted\n");
        return 1;
    }
    if (greeting("", 0, words, sizeof words)) {
        fprintf(stderr, "nobody is not greeted\n");
        return 1;
    }
    printf("ok\n");
    return 0;
}
