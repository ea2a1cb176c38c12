// A small HTTP server with one fault: server goroutines|threads FAULT BACKEND_PORT.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func main() {
	architecture, fault, backend := os.Args[1], os.Args[2], os.Args[3]
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: fault == "reconnect", MaxIdleConnsPerHost: 64}}
	log, _ := os.OpenFile("log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	var lock sync.Mutex
	handler := func(to http.ResponseWriter, from *http.Request) {
		switch fault {
		case "fsync":
			log.Write(make([]byte, 512))
			log.Sync()
		case "lock":
			lock.Lock()
			time.Sleep(time.Millisecond)
			lock.Unlock()
		case "backend", "reconnect":
			if answer, err := client.Get("http://127.0.0.1:" + backend + "/"); err == nil {
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
		case "failing":
			for count := 0; count < 20; count++ {
				os.Stat("/nonexistent/configuration")
			}
		case "faults":
			memory, _ := syscall.Mmap(-1, 0, 256<<10, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
			for at := 0; at < len(memory); at += 4096 {
				memory[at] = 1
			}
			syscall.Munmap(memory)
		}
		io.WriteString(to, "hello")
	}
	server := &http.Server{Handler: http.HandlerFunc(handler)}
	if architecture == "threads" {
		server.Handler = http.HandlerFunc(func(to http.ResponseWriter, from *http.Request) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			handler(to, from)
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	server.Serve(listener)
}
