package plate_test

import (
	"fmt"

	"wechat-parking-gateway/shared/plate"
)

func ExampleCheck() {
	for _, s := range []string{"粤B12345", "粤B·12345", "WJ粤12345"} {
		if code, hint, ok := plate.Check(s); !ok {
			fmt.Printf("%s: %s\n", code, hint)
			continue
		}
		fmt.Println("ok")
	}
	// Output:
	// ok
	// plate_malformed: Leave out the dot between the characters.
	// plate_unsupported: WeChat Pay does not take plates of the armed police.
}
