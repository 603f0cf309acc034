//! A pod at every size, and pods in rows: what all lenses draw alike.
//!
//! Picture to hold in mind: the course's own drawing. The pause container is the slab that carries the address;
//! the app containers stand on it. Far away a pod is a dot of its colour; nearer it gets its shape; near it has
//! its name, its containers and what the slab says.

use clusterarium::arrange::Arrange;
use clusterarium::picture::{ContainerRole, Picture, Pod, Tone};

use super::brush::{Align, Brush, font};
use super::geometry::{Point, Rect};
use super::palette::Palette;
use super::scene::Target;

/// A pod at full size, in world units.
pub const POD_WIDTH: f64 = 136.0;
pub const POD_HEIGHT: f64 = 100.0;

/// On-screen height in pixels from which a pod has containers, and from which it has words.
const SHAPES_PX: f64 = 22.0;
const WORDS_PX: f64 = 56.0;
/// A pod that cannot stand even at this share of its size stays undrawn: it would be less than a pixel.
const LEAST_SCALE: f64 = 0.03;

/// Something of the picture and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// Into the picture's list of its kind.
    pub index: usize,
    pub rect: Rect,
}

/// The pods of a node, oldest first, so that a new pod never moves those that stand. An empty name: of no node.
pub fn of_node(picture: &Picture, node: &str) -> Vec<usize> {
    let mut pods: Vec<usize> =
        (0..picture.pods.len()).filter(|index| picture.pods[*index].node == node).collect();
    pods.arrange_by_key(|index| (picture.pods[*index].created_us, *index));
    pods
}

/// Stands pods in rows; where they do not fit at full size all of them shrink alike.
pub fn place(pods: &[usize], area: Rect) -> Vec<Placed> {
    if pods.is_empty() {
        return Vec::new();
    }
    let mut scale = 1.0;
    let (mut columns, mut cell) = (1, (POD_WIDTH, POD_HEIGHT));
    while scale > LEAST_SCALE {
        cell = (POD_WIDTH * scale, POD_HEIGHT * scale);
        let gap = 8.0 * scale;
        columns = (((area.width + gap) / (cell.0 + gap)) as usize).max(1);
        let rows = ((area.height + gap) / (cell.1 + gap)) as usize;
        if columns * rows >= pods.len() && cell.0 <= area.width {
            break;
        }
        scale *= 0.95;
    }
    let gap = 8.0 * scale;
    let stand = |(position, index): (usize, &usize)| {
        let (column, row) = (position % columns, position / columns);
        let (x, y) = (area.x + column as f64 * (cell.0 + gap), area.y + row as f64 * (cell.1 + gap));
        Placed { index: *index, rect: Rect::new(x, y, cell.0, cell.1) }
    };
    pods.iter().enumerate().map(stand).collect()
}

/// What stands at `at` in one of `pods`: a container, or the pod.
pub fn hit(picture: &Picture, pods: &[Placed], at: Point) -> Option<Target> {
    let placed = pods.iter().find(|placed| placed.rect.contains(at))?;
    let pod = &picture.pods[placed.index];
    let container = container_boxes(pod, placed.rect)
        .into_iter()
        .find(|(_, rect)| rect.contains(at))
        .map(|(index, _)| pod.containers[index].name.clone());
    let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
    Some(match container {
        Some(container) => Target::Container(namespace, name, container),
        None => Target::Pod(namespace, name),
    })
}

/// The box of a pod, or of the pod that a container is in.
pub fn find(picture: &Picture, pods: &[Placed], target: &Target) -> Option<Rect> {
    let (Target::Pod(namespace, name) | Target::Container(namespace, name, _)) = target else { return None };
    let is_it = |placed: &&Placed| {
        let pod = &picture.pods[placed.index];
        pod.namespace == *namespace && pod.name == *name
    };
    let placed = pods.iter().find(is_it)?;
    let Target::Container(_, _, container) = target else { return Some(placed.rect) };
    let pod = &picture.pods[placed.index];
    container_boxes(pod, placed.rect)
        .into_iter()
        .find(|(index, _)| pod.containers[*index].name == *container)
        .map(|(_, rect)| rect)
}

/// Where the containers of a pod stand in its box: all but the title and the slab.
pub fn container_boxes(pod: &Pod, rect: Rect) -> Vec<(usize, Rect)> {
    let unit = rect.height / POD_HEIGHT;
    let area = Rect::new(
        rect.x + 6.0 * unit,
        rect.y + 27.0 * unit,
        rect.width - 12.0 * unit,
        rect.height - 27.0 * unit - 30.0 * unit,
    );
    let count = pod.containers.len().max(1) as f64;
    let gap = 4.0 * unit;
    let width = (area.width - gap * (count - 1.0)) / count;
    (0..pod.containers.len())
        .map(|index| (index, Rect::new(area.x + index as f64 * (width + gap), area.y, width, area.height)))
        .collect()
}

/// The slab that the containers stand on: the pause container.
pub fn slab_box(rect: Rect) -> Rect {
    let unit = rect.height / POD_HEIGHT;
    Rect::new(rect.x + 5.0 * unit, rect.bottom() - 26.0 * unit, rect.width - 10.0 * unit, 21.0 * unit)
}

/// Draws a pod in `rect`, which is `height_px` high on the screen.
pub fn paint(brush: &Brush, palette: &Palette, pod: &Pod, rect: Rect, height_px: f64) {
    let look = palette.look(pod.tone);
    let unit = rect.height / POD_HEIGHT;
    if height_px < SHAPES_PX {
        let fill = if look.is_solid { look.line } else { look.fill };
        brush.fill(rect, 3.0 * unit, fill);
        if !look.is_solid {
            brush.stroke(rect, 3.0 * unit, look.line, 8.0 * unit, false);
        }
        return;
    }
    brush.fill(rect, 8.0 * unit, &palette.surface);
    brush.stroke(rect, 8.0 * unit, look.line, 2.0 * unit, look.is_dashed);
    let has_words = height_px >= WORDS_PX;
    if has_words {
        let name = font(540, 14.0 * unit, &palette.font_code);
        let at = Point::new(rect.x + 8.0 * unit, rect.y + 15.0 * unit);
        let shown = brush.fit_middle(&pod.name, rect.width - 14.0 * unit, &name);
        brush.text(&shown, at, rect.width, &name, &palette.ink, Align::Left);
    }
    for (index, container_rect) in container_boxes(pod, rect) {
        let container = &pod.containers[index];
        let look = palette.look(container.tone);
        let radius = if container.role == ContainerRole::Init { 10.0 } else { 5.0 } * unit;
        brush.fill(container_rect, radius, if look.is_solid { look.line } else { look.fill });
        if !look.is_solid {
            brush.stroke(container_rect, radius, look.line, 1.5 * unit, look.is_dashed);
        }
        if has_words {
            let ink = if look.is_solid { look.on_line } else { &palette.ink };
            let text = font(620, 14.0 * unit, &palette.font_text);
            let width = container_rect.width - 6.0 * unit;
            brush.text(&container.name, container_rect.center(), width, &text, ink, Align::Center);
        }
    }
    slab(brush, palette, pod, rect, has_words);
}

fn slab(brush: &Brush, palette: &Palette, pod: &Pod, rect: Rect, has_words: bool) {
    let unit = rect.height / POD_HEIGHT;
    let slab = slab_box(rect);
    let width = slab.width - 6.0 * unit;
    match &pod.sandbox {
        Some(sandbox) => {
            let color = if sandbox.is_ready { &palette.slab } else { &palette.sunken };
            brush.fill(slab, 4.0 * unit, color);
            if has_words {
                let text = match (sandbox.host_network, sandbox.ip.as_str()) {
                    (true, _) => "host network",
                    (false, "") => sandbox.step.as_str(),
                    (false, ip) => ip,
                };
                let ink = if sandbox.is_ready { &palette.on_slab } else { &palette.ink_muted };
                let code = font(620, 13.5 * unit, &palette.font_code);
                brush.text(text, slab.center(), width, &code, ink, Align::Center);
            }
        }
        None => {
            brush.stroke(slab, 4.0 * unit, &palette.line_strong, 1.2 * unit, true);
            if has_words {
                let small = font(500, 13.5 * unit, &palette.font_text);
                let text = if pod.tone == Tone::Pending { pod.status.as_str() } else { "no sandbox" };
                brush.text(text, slab.center(), width, &small, &palette.ink_muted, Align::Center);
            }
        }
    }
}
