package problem_test

import (
	"fmt"

	"wechat-parking-gateway/shared/problem"
)

func ExampleProblem_Body() {
	p := problem.New(problem.InvalidFields, "One field is wrong.")
	p.Errors = append(p.Errors, problem.FieldError{
		Pointer: "/state",
		Code:    problem.BadValue,
		Detail:  "The value must be IN or OUT.",
	})
	fmt.Println(p.Code.Status())
	fmt.Printf("%s\n", p.Body("Jm9abcEXAMPLE="))
	// Output:
	// 422
	// {"type":"about:blank","title":"Unprocessable Content","status":422,"detail":"One field is wrong.","code":"invalid_fields","request_id":"Jm9abcEXAMPLE=","errors":[{"pointer":"/state","code":"bad_value","detail":"The value must be IN or OUT."}]}
}
