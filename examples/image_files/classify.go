// Classify an image file with Go; only the standard library is needed.
//
//	go run examples/image_files/classify.go http://localhost:8000 pets cat.jpg
//
// The model must be published with `camserve publish --image-files`, see docs/image-files.md.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

// values are one or more values: Triton returns a single value without a list.
type values[T any] []T

func (v *values[T]) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]T)(v))
	}
	*v = make([]T, 1)
	return json.Unmarshal(data, &(*v)[0])
}

type answer struct {
	Label       values[string]
	Probability values[float64]
	Error       string
}

func classify(server, model, file string) (answer, error) {
	var result answer
	image, err := os.ReadFile(file)
	if err != nil {
		return result, err
	}
	// Bytes are base64 text in Go's JSON.
	body, err := json.Marshal(map[string]any{"image_file": image, "top": 3})
	if err != nil {
		return result, err
	}
	client := http.Client{Timeout: 30 * time.Second}
	url := fmt.Sprintf("%s/v2/models/%s_file/generate", server, model)
	response, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return result, err
	}
	defer response.Body.Close()
	err = json.NewDecoder(response.Body).Decode(&result)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", file, result.Error)
	}
	return result, err
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: classify SERVER MODEL FILE")
		os.Exit(2)
	}
	result, err := classify(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for place, label := range result.Label {
		fmt.Printf("%6.2f%%  %s\n", 100*result.Probability[place], label)
	}
}
