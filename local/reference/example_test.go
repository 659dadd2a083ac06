package reference_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"wechat-parking-gateway/local/reference"
)

// ExampleHandler mounts the page below /reference/.
func ExampleHandler() {
	page, err := reference.Handler()
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/reference/", http.StripPrefix("/reference", page))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/reference/openapi.yaml", nil))
	fmt.Println(w.Code, w.Body.String()[:14])
	// Output: 200 openapi: 3.1.1
}
