// A worker runs beside the services that answer, for as long as the application does.
package main

import (
	"fmt"
	"time"
)

const pause = time.Second

func main() {
	for beat := 1; ; beat++ {
		fmt.Println(line(beat)) // goes to Skep's log
		time.Sleep(pause)
	}
}

func line(beat int) string {
	return fmt.Sprintf("beat %d", beat)
}
