package server

import (
	"log/slog"

	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/topic"
)

// peers hears the other nodes and takes what they say to where it belongs. Messages
// of other nodes are trusted: they were checked where the client is.
type peers struct {
	log      *slog.Logger
	topics   *[lastTopic + 1]topicHandler
	interest *interest.Cluster // nil where the registry needs no messages
}

// remoteHandler is a topic that hears other nodes.
type remoteHandler interface {
	Remote(node string, m *message.Message)
}

// gapHandler is a topic that has something to make good when messages were lost.
type gapHandler interface {
	Gap(node string)
}

// leftHandler is a topic that waits for nodes.
type leftHandler interface {
	Left(node string)
}

// Deliver implements bus.Receiver.
func (p *peers) Deliver(node string, payload []byte) {
	switch {
	case len(payload) > 0 && payload[0] == topic.FrameTopic:
		p.message(node, payload[1:])
	case len(payload) > 0 && payload[0] == topic.FrameInterest && p.interest != nil:
		p.interest.Deliver(node, payload[1:])
	default:
		p.log.Warn("another node cannot be understood", "node", node, "bytes", len(payload))
	}
}

func (p *peers) message(node string, payload []byte) {
	m, err := topic.Unpack(payload)
	if err != nil {
		p.log.Warn("another node cannot be understood", "node", node, "err", err)
		return
	}
	if m.Topic > lastTopic {
		return
	}
	if h, ok := p.topics[m.Topic].(remoteHandler); ok {
		h.Remote(node, &m)
	}
}

// Gap implements bus.Receiver.
func (p *peers) Gap(node string) {
	p.log.Info("another node is heard", "node", node)
	if p.interest != nil {
		p.interest.Gap(node)
	}
	for _, t := range p.topics {
		if h, ok := t.(gapHandler); ok {
			h.Gap(node)
		}
	}
}

// Left implements bus.Receiver.
func (p *peers) Left(node string) {
	p.log.Info("another node is gone", "node", node)
	if p.interest != nil {
		p.interest.Left(node)
	}
	for _, t := range p.topics {
		if h, ok := t.(leftHandler); ok {
			h.Left(node)
		}
	}
}
