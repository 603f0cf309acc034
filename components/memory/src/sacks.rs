//! The worker's memory, taken from the browser in few large pieces.
//!
//! Picture to hold in mind: a cook who buys flour by the sack. At every errand for a cup the browser may tidy its own
//! larder first: a sixth of the time in which a thousand pods come up.
//!
//! What is taken and not written to costs address space alone.

use std::alloc::Layout;
use std::arch::wasm32::{memory_grow, memory_size};

use talc::base::Talc;
use talc::base::binning::Binning;
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

#[global_allocator]
static MEMORY: TalcSyncCell<Sacks, WasmBinning> = TalcSyncCell::new_wasm(Sacks);

/// Taken at least, in bytes; more, a quarter of what there is, when there is much.
const SACK: usize = 32 << 20;
const PAGE: usize = 64 << 10;
/// The allocator's own notes about a sack, at most.
const NOTES: usize = 4 << 10;

#[derive(Debug)]
struct Sacks;

// SAFETY: nothing here allocates.
unsafe impl Source for Sacks {
    fn acquire<B: Binning>(talc: &mut Talc<Sacks, B>, layout: Layout) -> Result<(), ()> {
        let needed = (layout.size().saturating_add(layout.align()).saturating_add(NOTES)).div_ceil(PAGE);
        let sack = needed.max(SACK / PAGE).max(memory_size::<0>() / 4);
        // Near the end of what the browser gives, a cup is better than nothing.
        for pages in [sack, needed] {
            let first = memory_grow::<0>(pages);
            if first != usize::MAX {
                // SAFETY: the browser has just added these pages; nobody else knows them.
                let claimed = unsafe { talc.claim((first * PAGE) as *mut u8, pages * PAGE) };
                return claimed.map(|_| ()).ok_or(());
            }
        }
        Err(())
    }
}
