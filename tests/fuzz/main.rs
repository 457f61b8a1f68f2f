//! What libFuzzer runs: the target of `facilitator::fuzz` that `FACILITATOR_FUZZ_TARGET` names.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<facilitator::fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("FACILITATOR_FUZZ_TARGET").expect("FACILITATOR_FUZZ_TARGET names a target");
    facilitator::fuzz::target(&name)
});

fuzz_target!(|bytes: &[u8]| TARGET(bytes));
