// Reads lines "secret id timestamp base64(body)" and prints the sample's signature of each.
package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
)

func main() {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		line := strings.Split(in.Text(), " ")
		timestamp, err := strconv.ParseInt(line[2], 10, 64)
		if err != nil {
			log.Fatal(err)
		}
		body, err := base64.StdEncoding.DecodeString(line[3])
		if err != nil {
			log.Fatal(err)
		}
		signature, err := sign(line[0], line[1], timestamp, body)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(signature)
	}
}
