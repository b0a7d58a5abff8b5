//! Asks at the terminal for what is not shown while it is typed.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// The terminal from which this process was started.
const TERMINAL: &str = "/dev/tty";
/// The longest line that Linux takes from a terminal (termios(3)), in bytes.
const LINE: usize = 4096;
/// How long a signal that ends this process may take.
const SIGNALLED: Duration = Duration::from_secs(5);

/// A terminal that shows only where a line ends; dropped, it is as before.
struct Hidden {
    terminal: File,
    former: Termios,
}

impl Hidden {
    /// Interrupting ends the line that is being typed. As a signal it would end this process at once, and the terminal
    /// would go on showing nothing.
    fn new() -> io::Result<Self> {
        let terminal = OpenOptions::new().read(true).write(true).open(TERMINAL)?;
        let former = tcgetattr(&terminal)?;
        let mut hidden = former.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        hidden.local_modes.insert(LocalModes::ECHONL);
        hidden.special_codes[SpecialCodeIndex::VEOL] = former.special_codes[SpecialCodeIndex::VINTR];
        tcsetattr(&terminal, OptionalActions::Now, &hidden)?;
        Ok(Self { terminal, former })
    }

    /// Reads a line; `None` if the person interrupts it.
    fn line(&mut self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let interrupts = self.former.special_codes[SpecialCodeIndex::VINTR];
        // The full capacity is allocated at once, so that a growing vector leaves no copies behind.
        let (mut line, mut octet) = (Zeroizing::new(Vec::<u8>::with_capacity(LINE)), [0_u8]);
        loop {
            if self.terminal.read(&mut octet)? == 0 {
                return if line.is_empty() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(Some(line)) };
            }
            match octet {
                [b'\n'] => return Ok(Some(line)),
                // Nobody can type 0 where it means that no key interrupts.
                [typed] if typed == interrupts && typed != 0 => return Ok(None),
                _ if line.len() == LINE => return Err(ErrorKind::FileTooLarge.into()),
                [typed] => line.push(typed),
            }
        }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // If the terminal is gone, nobody types there any more.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.former);
    }
}

/// Asks for one line at the terminal. Whoever interrupts it ends this process, as everywhere else.
///
/// # Errors
/// When there is no terminal, or the line is too long or not UTF-8.
pub(super) fn ask(prompt: &str) -> io::Result<Zeroizing<String>> {
    let mut hidden = Hidden::new()?;
    hidden.terminal.write_all(prompt.as_bytes())?;
    let Some(line) = hidden.line()? else {
        hidden.terminal.write_all(b"\n")?;
        drop(hidden);
        kill_process(getpid(), Signal::INT)?;
        // Another thread may be given the signal, in its own time. Nobody is, where a parent has had it ignored.
        std::thread::sleep(SIGNALLED);
        return Err(ErrorKind::Interrupted.into());
    };
    let text = core::str::from_utf8(&line).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    Ok(Zeroizing::new(text.to_owned()))
}
