package main

import (
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// What the model of memory sizes takes from AWS and from guesses, each said on the page.
const (
	// fullProcessor is the memory at which a function has one whole processor.
	//
	// Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
	fullProcessor = 1769.0
	// The prices of arm64 in us-east-1, in dollars: https://aws.amazon.com/lambda/pricing/
	perGBSecond = 0.0000133334
	perMillion  = 0.20
	// How long one waits for others, in milliseconds: WeChat Pay, an AWS service in the region. Guesses.
	weChatPayWait = 80.0
	awsWait       = 5.0
	// What the sizes are chosen by: the processor time of a warm request, which is to be small beside the wait for WeChat
	// Pay, and of a start, which is to be too short for a driver at a barrier to notice, in milliseconds.
	maxWarmCPU  = 10.0
	maxStartCPU = 100.0
)

// memorySizes are the sizes that the model looks at, in MB.
var memorySizes = []float64{128, 256, 512, 1024, 1769}

// waits is how long a route's request waits for others.
var waits = map[string]float64{
	routes[0].name: weChatPayWait + 2*awsWait, // claim, call, answer kept
	routes[1].name: weChatPayWait + 2*awsWait,
	routes[2].name: awsWait, // queue
	routes[3].name: awsWait,
}

// modelled is one route at one size of memory.
type modelled struct {
	Memory           float64
	WarmCPU, Latency float64 // ms
	StartCPU         float64 // ms
	Dollars          float64 // a million requests
}

// model stretches the processor time that was measured by the share of a processor that a size of memory gives.
func model(c cpuResult) []modelled {
	var all []modelled
	for _, memory := range memorySizes {
		stretch := max(1, fullProcessor/memory)
		m := modelled{Memory: memory, WarmCPU: c.Warm * stretch, StartCPU: c.Start * stretch}
		m.Latency = m.WarmCPU + waits[c.Route]
		m.Dollars = perMillion + 1e6*m.Latency/1000*memory/1024*perGBSecond
		all = append(all, m)
	}
	return all
}

// advised is the smallest size that keeps to both limits, or the largest there is.
func advised(all []modelled) float64 {
	for _, m := range all {
		if m.WarmCPU <= maxWarmCPU && m.StartCPU <= maxStartCPU {
			return m.Memory
		}
	}
	return all[len(all)-1].Memory
}

// withStarts puts the processor time of the starts beside that of the requests.
func withStarts(used []cpuResult, starts []startResult) []cpuResult {
	out := make([]cpuResult, len(used))
	for i, c := range used {
		for _, s := range starts {
			if s.Function == c.Function {
				c.Start = s.CPU
			}
		}
		out[i] = c
	}
	return out
}

// templateMemory returns the memory sizes in template.yaml, by the names of the functions' logical ids.
func templateMemory(root string) (map[string]int, error) {
	document, err := os.ReadFile(filepath.Join(root, "template.yaml"))
	if err != nil {
		return nil, err
	}
	var template struct {
		Globals struct {
			Function struct {
				MemorySize int `yaml:"MemorySize"`
			} `yaml:"Function"`
		} `yaml:"Globals"`
		Resources map[string]struct {
			Type       string `yaml:"Type"`
			Properties struct {
				MemorySize int `yaml:"MemorySize"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(document, &template); err != nil {
		return nil, fmt.Errorf("template.yaml: %w", err)
	}
	sizes := make(map[string]int)
	for id, r := range template.Resources {
		if r.Type != "AWS::Serverless::Function" {
			continue
		}
		sizes[id] = r.Properties.MemorySize
		if sizes[id] == 0 {
			sizes[id] = template.Globals.Function.MemorySize
		}
	}
	return sizes, nil
}
