package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/dsproxy/dsproxy/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	c := server.Defaults()
	s, err := server.New(c)
	if err == nil {
		err = s.Listen()
	}
	if err == nil {
		err = s.Run(ctx)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
