// Package server is a realtime node that clients of deepstream 1 to 10 use: it
// is what the packages below it make when put together.
package server
