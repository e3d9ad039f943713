#pragma once

// The last look at what was downloaded, before anything can find it. Not part of the public interface.

#include "kernels/ops/download.h"

#include "variant_content.h"

namespace kernels::ops {

/// Compares a variant with the digest in its metadata.json, if it has one. Errors  integrity: the first file
/// that differs, lacks or is unknown; a metadata.json that cannot be read.
Status check_variant_digest(VariantContent& content, const LockedKernel& kernel,
                            const LockedVariant& variant);

/// Compares every variant that no snapshot has yet, or of which the plan fetched something, with the digest
/// in its metadata.json. The blobs are there, each with the bytes of its name. Of a variant that is wrong,
/// the blobs that came with this plan are removed again, unless a snapshot already had them. Errors
/// integrity: the first file that differs, lacks or is unknown; a metadata.json that cannot be read.
Status check_new_variants(const cache::Layout& layout, const DownloadPlan& plan);

/// Removes the blobs of a repository that came with a plan, unless a snapshot has them.
void forget_fetched(const cache::Layout& layout, const DownloadPlan& plan, const RepoId& repo);

}  // namespace kernels::ops
