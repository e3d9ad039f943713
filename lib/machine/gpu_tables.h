#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "kernels/model/version.h"

namespace kernels::machine {

// What follows from a name or a number, where nobody can be asked. All are guesses of the kind "inferred".

/// The compute capability of an NVIDIA GPU by its PCI device id. Source  device ids are given out in blocks,
/// one for each chip; the blocks as of the PCI ID database and the open kernel modules of 2025-11.
std::optional<MajorMinor> capability_of_pci_device(std::uint64_t device);

/// The same by the name of a model: `NVIDIA H100 80GB HBM3` is 9.0.
std::optional<MajorMinor> capability_of_model(std::string_view name);

/// The same for the integrated GPU of a Tegra: one of the entries of the device tree's `compatible`.
std::optional<MajorMinor> capability_of_tegra(std::string_view compatible);

/// The memory that a model's name tells: `80GB`.
std::optional<std::uint64_t> memory_of_model(std::string_view name);

/// The CUDA of a Jetson Linux release: 36.4.3 → 12.6. Source  the JetPack release notes.
std::optional<MajorMinor> cuda_of_tegra_release(std::string_view release);

}  // namespace kernels::machine
