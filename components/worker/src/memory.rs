//! The worker's memory, taken from the browser in few large pieces.
//!
//! Picture to hold in mind: a cook who buys flour by the sack. The standard allocator sends for each cup, and at every
//! errand the browser may tidy its own larder first: a sixth of the time in which a thousand pods come up.
//!
//! What is taken and not written to costs address space alone.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static MEMORY: InSacks = InSacks { pages: AtomicUsize::new(0) };

/// Taken at least, in bytes; more, a quarter of what there is, when there is much.
const SACK: usize = 32 << 20;
const PAGE: usize = 64 << 10;

/// The standard allocator. Whenever it has had to ask for more memory, it gets a stock as well.
struct InSacks {
    /// The memory's size after the last sack.
    pages: AtomicUsize,
}

impl InSacks {
    fn look(&self) {
        let pages = core::arch::wasm32::memory_size(0);
        if pages != self.pages.load(Ordering::Relaxed) {
            self.fill_up(pages);
        }
    }
    #[cold]
    fn fill_up(&self, pages: usize) {
        if let Ok(sack) = Layout::from_size_align(SACK.max(pages / 4 * PAGE), 16) {
            // SAFETY: the layout's size is not zero, and the block is given back with the layout it was asked for with. Given
            // back it stays with the allocator, which has no way to return memory to the browser. A null block, where
            // the browser has no more to give, is left alone.
            unsafe {
                let block = System.alloc(sack);
                if !block.is_null() {
                    System.dealloc(block, sack);
                }
            }
        }
        self.pages.store(core::arch::wasm32::memory_size(0), Ordering::Relaxed);
    }
}

// SAFETY: every call is handed on to the standard allocator as it came, and its answer back.
unsafe impl GlobalAlloc for InSacks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = unsafe { System.alloc(layout) };
        self.look();
        block
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let block = unsafe { System.realloc(block, layout, size) };
        self.look();
        block
    }
}
