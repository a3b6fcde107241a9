// bpf(2): the commands whose attributes hold pointers, one row of kCalls each.
#pragma once

#include "call.h"

namespace closewait::os {

// BPF_MAP_CREATE. Takes type, key size, value size, entries, flags; returns a descriptor.
long BpfMapCreate(Call& call);

// BPF_PROG_LOAD. Takes type, expected attach type, BTF id to attach to, the instructions, the
// license and room for the verifier's words, which may be empty; returns a descriptor.
long BpfProgLoad(Call& call);

// BPF_OBJ_GET_INFO_BY_FD. Takes a descriptor and room for the struct bpf_*_info of its kind. What
// the room held is cleared first: the struct has pointers that the kernel would write through.
long BpfInfo(Call& call);

// BPF_RAW_TRACEPOINT_OPEN, for a program that was loaded for its tracepoint. Takes the program;
// returns a descriptor.
long BpfRawTracepointOpen(Call& call);

// BPF_LINK_CREATE. Takes a program, a target, which programs of some attach types lack and is 0
// then, and the attach type; returns a descriptor.
long BpfLinkCreate(Call& call);

// BPF_ITER_CREATE. Takes a link; returns a descriptor that is read.
long BpfIterCreate(Call& call);

}  // namespace closewait::os
